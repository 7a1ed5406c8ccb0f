//! PDUs: framing, header, and the bodies this client needs (SMPP 3.4 §3.2, §4).
//!
//! Reading is lax in content and strict in bounds: a field may hold anything, but never lies outside its frame.
//! Fields that are not used (service type, protocol id, schedule, validity) are passed over.

/// Largest PDU taken or sent, in octets.
pub const MAX_PDU: usize = 64 * 1024;
/// Octets of the header.
const HEADER: usize = 16;
/// Longest C-octet string read; the standard's longest is 65.
const MAX_STRING: usize = 256;

const RESPONSE: u32 = 0x8000_0000;
const GENERIC_NACK: u32 = RESPONSE;
const SUBMIT_SM: u32 = 0x04;
const DELIVER_SM: u32 = 0x05;
const UNBIND: u32 = 0x06;
const BIND_TRANSCEIVER: u32 = 0x09;
const ENQUIRE_LINK: u32 = 0x15;
const ALERT_NOTIFICATION: u32 = 0x102;

const TLV_RECEIPTED_MESSAGE_ID: u16 = 0x001E;
const TLV_SAR_REFERENCE: u16 = 0x020C;
const TLV_SAR_TOTAL: u16 = 0x020E;
const TLV_SAR_SEQUENCE: u16 = 0x020F;
const TLV_MESSAGE_PAYLOAD: u16 = 0x0424;
const TLV_MESSAGE_STATE: u16 = 0x0427;

/// An address with its type of number and numbering plan (§5.2.5, §5.2.6).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Address {
    /// Type of number: 0 unknown, 1 international, 2 national.
    pub ton: u8,
    /// Numbering plan: 0 unknown, 1 ISDN (ITU-T E.164).
    pub npi: u8,
    /// The number, or a name where `ton` is 5.
    pub digits: String,
}

/// The body of submit_sm and deliver_sm, as far as it is used (§4.4.1, §4.6.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShortMessage {
    /// Who sends; of a receipt, the citizen's telephone.
    pub source: Address,
    /// Who gets it; of a receipt or a citizen's message, our access number.
    pub destination: Address,
    /// Bit 6: the user data has a header; bits 2 to 5 of a deliver_sm: 1 for a receipt (§5.2.12).
    pub esm_class: u8,
    /// 1 asks for a receipt of the final outcome, good or bad (§5.2.17).
    pub registered_delivery: u8,
    /// 0 the default alphabet, 8 UCS-2 (§5.2.19).
    pub data_coding: u8,
    /// short_message, or message_payload where that TLV is there.
    pub user_data: Vec<u8>,
    /// A receipt's TLV 0x001E: the id of the message it is about.
    pub receipted_message_id: Option<String>,
    /// A receipt's TLV 0x0427: what became of it (§5.2.28).
    pub message_state: Option<u8>,
    /// sar_msg_ref_num, sar_total_segments, sar_segment_seqnum, when all three are there.
    pub sar: Option<(u16, u8, u8)>,
}

/// A PDU's body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// We ask to send and to receive over one connection (§4.1.5).
    BindTransceiver {
        /// Our name, at most 15 characters.
        system_id: String,
        /// At most 8 characters.
        password: String,
        /// What kind of system we are, at most 12 characters.
        system_type: String,
    },
    /// The SMS centre's answer to the bind (§4.1.6).
    BindTransceiverResp {
        /// Its name; empty where it refuses.
        system_id: String,
    },
    /// A message to a citizen (§4.4.1).
    SubmitSm(ShortMessage),
    /// Whether it was taken (§4.4.2).
    SubmitSmResp {
        /// The SMS centre's id of it; empty where it refuses.
        message_id: String,
    },
    /// A citizen's message or a receipt (§4.6.1).
    DeliverSm(ShortMessage),
    /// Lets the SMS centre forget a deliver_sm (§4.6.2).
    DeliverSmResp,
    /// Either side asks whether the other is still there (§4.11.1).
    EnquireLink,
    /// It is (§4.11.2).
    EnquireLinkResp,
    /// Either side wishes to end the session (§4.2.1).
    Unbind,
    /// The session is over; the connection may be closed (§4.2.2).
    UnbindResp,
    /// A PDU could not be read or is not known (§4.3.1).
    GenericNack,
    /// A telephone can be reached again (§4.12.1); nothing is done about it.
    AlertNotification,
    /// A command this client does not know; its body was passed over.
    Other {
        /// As it came.
        command_id: u32,
    },
}

/// The header behind the length (§3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Which body follows; its highest bit marks a response.
    pub command_id: u32,
    /// command_status: 0 in requests and where all is well (§5.1.3).
    pub status: u32,
    /// sequence_number: a response repeats that of its request.
    pub sequence: u32,
}

impl Header {
    /// Whether it answers a request of ours.
    pub fn is_response(&self) -> bool {
        self.command_id & RESPONSE != 0
    }
}

/// What is wrong with a PDU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PduError {
    /// Shorter than a header, or longer than this client takes: framing is lost.
    #[error("a command length of {0} octets is out of bounds")]
    Length(u32),
    /// It ends before a fixed field does, or before the end that the length of short_message gives.
    #[error("the body ends in the middle of a field")]
    Truncated,
    /// No NUL within the longest string that is read.
    #[error("a string has no end")]
    Unterminated,
    /// A setting or an id does not fit its SMPP field, or the whole is too long.
    #[error("a string to be sent is too long or holds a NUL")]
    Unsendable,
}

/// How many octets the first PDU of `input` takes; `None` while it is not all there. Errors where the length that it
/// gives cannot be.
pub fn frame_length(input: &[u8]) -> Result<Option<usize>, PduError> {
    let Some(first) = input.first_chunk::<4>() else { return Ok(None) };
    let length = u32::from_be_bytes(*first);
    let octets = usize::try_from(length).unwrap_or(usize::MAX);
    if !(HEADER..=MAX_PDU).contains(&octets) {
        return Err(PduError::Length(length));
    }
    Ok((input.len() >= octets).then_some(octets))
}

/// Reads one whole frame. The header stands even where the body is broken, so that it can be answered.
pub fn decode(frame: &[u8]) -> Result<(Header, Result<Body, PduError>), PduError> {
    let mut reader = Reader(frame);
    reader.u32()?;
    let header = Header { command_id: reader.u32()?, status: reader.u32()?, sequence: reader.u32()? };
    Ok((header, decode_body(&header, reader)))
}

fn decode_body(header: &Header, mut reader: Reader<'_>) -> Result<Body, PduError> {
    const BIND_TRANSCEIVER_RESP: u32 = RESPONSE | BIND_TRANSCEIVER;
    const SUBMIT_SM_RESP: u32 = RESPONSE | SUBMIT_SM;
    const DELIVER_SM_RESP: u32 = RESPONSE | DELIVER_SM;
    const ENQUIRE_LINK_RESP: u32 = RESPONSE | ENQUIRE_LINK;
    const UNBIND_RESP: u32 = RESPONSE | UNBIND;
    Ok(match header.command_id {
        BIND_TRANSCEIVER => Body::BindTransceiver {
            system_id: reader.string()?,
            password: reader.string()?,
            system_type: reader.string()?,
        },
        // A refusing response may come without a body (§4.1.6, §4.4.2).
        BIND_TRANSCEIVER_RESP => Body::BindTransceiverResp { system_id: reader.string_or_nothing()? },
        SUBMIT_SM => Body::SubmitSm(short_message(reader)?),
        SUBMIT_SM_RESP => Body::SubmitSmResp { message_id: reader.string_or_nothing()? },
        DELIVER_SM => Body::DeliverSm(short_message(reader)?),
        DELIVER_SM_RESP => Body::DeliverSmResp,
        ENQUIRE_LINK => Body::EnquireLink,
        ENQUIRE_LINK_RESP => Body::EnquireLinkResp,
        UNBIND => Body::Unbind,
        UNBIND_RESP => Body::UnbindResp,
        GENERIC_NACK => Body::GenericNack,
        ALERT_NOTIFICATION => Body::AlertNotification,
        command_id => Body::Other { command_id },
    })
}

fn short_message(mut reader: Reader<'_>) -> Result<ShortMessage, PduError> {
    reader.string()?; // service_type
    let source = Address { ton: reader.u8()?, npi: reader.u8()?, digits: reader.string()? };
    let destination = Address { ton: reader.u8()?, npi: reader.u8()?, digits: reader.string()? };
    let esm_class = reader.u8()?;
    reader.take(2)?; // protocol_id, priority_flag
    reader.string()?; // schedule_delivery_time
    reader.string()?; // validity_period
    let registered_delivery = reader.u8()?;
    reader.u8()?; // replace_if_present_flag
    let data_coding = reader.u8()?;
    reader.u8()?; // sm_default_msg_id
    let length = reader.u8()?;
    let user_data = reader.take(usize::from(length))?.to_vec();
    let mut message = ShortMessage {
        source,
        destination,
        esm_class,
        registered_delivery,
        data_coding,
        user_data,
        ..ShortMessage::default()
    };
    read_tlvs(reader, &mut message);
    Ok(message)
}

/// Optional parameters; a broken one ends them, and the message stands with those before it.
fn read_tlvs(mut reader: Reader<'_>, message: &mut ShortMessage) {
    let (mut reference, mut total, mut sequence) = (None, None, None);
    while let Ok((tag, value)) = reader.tlv() {
        match (tag, value) {
            (TLV_RECEIPTED_MESSAGE_ID, value) => {
                let text = value.split(|&octet| octet == 0).next().unwrap_or_default();
                message.receipted_message_id = Some(lossy(text));
            }
            (TLV_MESSAGE_STATE, [.., state]) => message.message_state = Some(*state),
            (TLV_MESSAGE_PAYLOAD, value) if !value.is_empty() => message.user_data = value.to_vec(),
            (TLV_SAR_REFERENCE, &[high, low]) => reference = Some(u16::from_be_bytes([high, low])),
            (TLV_SAR_TOTAL, &[value]) => total = Some(value),
            (TLV_SAR_SEQUENCE, &[value]) => sequence = Some(value),
            _ => {}
        }
    }
    if let (Some(reference), Some(total), Some(sequence)) = (reference, total, sequence)
        && (1..=total).contains(&sequence)
    {
        message.sar = Some((reference, total, sequence));
    }
}

/// Text of an identifier: octets beyond ASCII become U+FFFD.
fn lossy(octets: &[u8]) -> String {
    octets.iter().map(|&o| if o.is_ascii() { char::from(o) } else { char::REPLACEMENT_CHARACTER }).collect()
}

/// Octets still to be read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], PduError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(PduError::Truncated)?;
        self.0 = rest;
        Ok(taken)
    }

    fn u8(&mut self) -> Result<u8, PduError> {
        let (&first, rest) = self.0.split_first().ok_or(PduError::Truncated)?;
        self.0 = rest;
        Ok(first)
    }

    fn u32(&mut self) -> Result<u32, PduError> {
        let (first, rest) = self.0.split_first_chunk::<4>().ok_or(PduError::Truncated)?;
        self.0 = rest;
        Ok(u32::from_be_bytes(*first))
    }

    fn string(&mut self) -> Result<String, PduError> {
        let window = &self.0[..self.0.len().min(MAX_STRING)];
        let end = memchr::memchr(0, window).ok_or(PduError::Unterminated)?;
        let text = lossy(&self.0[..end]);
        self.0 = &self.0[end + 1..];
        Ok(text)
    }

    fn string_or_nothing(&mut self) -> Result<String, PduError> {
        if self.0.is_empty() { Ok(String::new()) } else { self.string() }
    }

    fn tlv(&mut self) -> Result<(u16, &'a [u8]), PduError> {
        let head = self.take(4)?;
        let (tag, length) = (u16::from_be_bytes([head[0], head[1]]), u16::from_be_bytes([head[2], head[3]]));
        Ok((tag, self.take(usize::from(length))?))
    }
}

/// Writes one PDU behind what `out` holds; `out` stays as it was on an error.
pub fn encode(status: u32, sequence: u32, body: &Body, out: &mut Vec<u8>) -> Result<(), PduError> {
    let start = out.len();
    out.extend([0; 4]);
    for word in [command_id(body), status, sequence] {
        out.extend(word.to_be_bytes());
    }
    let written = encode_body(body, out);
    let length = out.len() - start;
    if written.is_err() || length > MAX_PDU {
        out.truncate(start);
        return Err(PduError::Unsendable);
    }
    out[start..start + 4].copy_from_slice(&(length as u32).to_be_bytes());
    Ok(())
}

fn command_id(body: &Body) -> u32 {
    match body {
        Body::BindTransceiver { .. } => BIND_TRANSCEIVER,
        Body::BindTransceiverResp { .. } => RESPONSE | BIND_TRANSCEIVER,
        Body::SubmitSm(_) => SUBMIT_SM,
        Body::SubmitSmResp { .. } => RESPONSE | SUBMIT_SM,
        Body::DeliverSm(_) => DELIVER_SM,
        Body::DeliverSmResp => RESPONSE | DELIVER_SM,
        Body::EnquireLink => ENQUIRE_LINK,
        Body::EnquireLinkResp => RESPONSE | ENQUIRE_LINK,
        Body::Unbind => UNBIND,
        Body::UnbindResp => RESPONSE | UNBIND,
        Body::GenericNack => GENERIC_NACK,
        Body::AlertNotification => ALERT_NOTIFICATION,
        Body::Other { command_id } => *command_id,
    }
}

fn encode_body(body: &Body, out: &mut Vec<u8>) -> Result<(), PduError> {
    match body {
        Body::BindTransceiver { system_id, password, system_type } => {
            put_string(system_id, 15, out)?;
            put_string(password, 8, out)?;
            put_string(system_type, 12, out)?;
            // interface_version 3.4, then an unknown range of addresses.
            out.extend([0x34, 0, 0, 0]);
            Ok(())
        }
        Body::BindTransceiverResp { system_id } => put_string(system_id, 15, out),
        Body::SubmitSm(message) | Body::DeliverSm(message) => put_short_message(message, out),
        Body::SubmitSmResp { message_id } => put_string(message_id, 64, out),
        // §4.6.2: the message id is unused and NULL.
        Body::DeliverSmResp => put_string("", 0, out),
        Body::EnquireLink | Body::EnquireLinkResp | Body::Unbind | Body::UnbindResp => Ok(()),
        Body::GenericNack | Body::AlertNotification | Body::Other { .. } => Ok(()),
    }
}

/// Writes what a submit needs; TLVs are read but never sent, as not every SMS centre takes them.
fn put_short_message(message: &ShortMessage, out: &mut Vec<u8>) -> Result<(), PduError> {
    put_string("", 0, out)?; // service_type: the SMS centre's default
    for address in [&message.source, &message.destination] {
        out.extend([address.ton, address.npi]);
        put_string(&address.digits, 20, out)?;
    }
    out.extend([message.esm_class, 0, 0]); // protocol_id, priority_flag
    out.extend([0, 0]); // schedule_delivery_time and validity_period: NULL
    out.extend([message.registered_delivery, 0, message.data_coding, 0]);
    let length = u8::try_from(message.user_data.len()).map_err(|_| PduError::Unsendable)?;
    out.push(length);
    out.extend(&message.user_data);
    Ok(())
}

fn put_string(text: &str, most: usize, out: &mut Vec<u8>) -> Result<(), PduError> {
    if text.len() > most || !text.is_ascii() || text.contains('\0') {
        return Err(PduError::Unsendable);
    }
    out.extend(text.as_bytes());
    out.push(0);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_standards_own_example_is_read() {
        // §3.2 "SMPP PDU layout": bind_transmitter of SMPP3TEST; as transceiver here.
        let mut out = Vec::new();
        let body = Body::BindTransceiver {
            system_id: "SMPP3TEST".into(),
            password: "secret08".into(),
            system_type: "SUBMIT1".into(),
        };
        encode(0, 1, &body, &mut out).unwrap();
        let hex = "0000002f000000090000000000000001534d50503354455354007365637265743038005355424d4954310034000000";
        assert_eq!(hex::encode(&out), hex);
        assert_eq!(frame_length(&out), Ok(Some(47)));
        assert_eq!(decode(&out).unwrap().1, Ok(body));
    }

    #[test]
    fn lengths_are_bounded() {
        assert_eq!(frame_length(&[0, 0, 0]), Ok(None));
        assert_eq!(frame_length(&[0, 0, 0, 15]), Err(PduError::Length(15)));
        assert_eq!(frame_length(&[0, 1, 0, 0]), Ok(None));
        assert_eq!(frame_length(&[0, 1, 0, 1]), Err(PduError::Length(65537)));
        assert_eq!(frame_length(&[0xFF; 64]), Err(PduError::Length(u32::MAX)));
    }

    #[test]
    fn what_cannot_be_sent_leaves_no_trace() {
        let mut out = vec![1, 2];
        let message = ShortMessage { user_data: vec![0; 256], ..ShortMessage::default() };
        assert_eq!(encode(0, 1, &Body::SubmitSm(message), &mut out), Err(PduError::Unsendable));
        let bind = Body::BindTransceiver {
            system_id: "a".into(),
            password: "longer than eight".into(),
            system_type: String::new(),
        };
        assert_eq!(encode(0, 1, &bind, &mut out), Err(PduError::Unsendable));
        assert_eq!(out, [1, 2]);
    }

    #[test]
    fn lax_fields_do_not_spoil_a_receipt() {
        // GBK in the service type, a 13-digit date, message_state of two octets, a broken TLV at the end.
        let mut frame = vec![0; 4];
        frame.extend([0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 9]);
        frame.extend(b"\xC4\xE3\0\x01\x01138\0\x00\x00106\0\x04\0\x002608011230000\0\0\0\0\0\0\x02ok");
        frame.extend([0, 0x1E, 0, 3, b'a', b'1', 0, 0x04, 0x27, 0, 2, 0, 2, 0x04, 0x24, 0xFF, 0xFF, 1]);
        let length = frame.len() as u32;
        frame[..4].copy_from_slice(&length.to_be_bytes());
        let (header, body) = decode(&frame).unwrap();
        let Ok(Body::DeliverSm(message)) = body else { panic!("{body:?}") };
        assert_eq!((header.sequence, message.esm_class, message.user_data.as_slice()), (9, 4, &b"ok"[..]));
        assert_eq!((message.receipted_message_id.as_deref(), message.message_state), (Some("a1"), Some(2)));
    }

    proptest! {
        #[test]
        fn any_octets_are_read(mut frame in proptest::collection::vec(any::<u8>(), 0..400), id in 0u8..0x16) {
            let _ = frame_length(&frame);
            let _ = decode(&frame);
            if frame.len() >= 16 {
                frame[4..8].copy_from_slice(&[0, 0, 0, id]);
                prop_assert!(decode(&frame).is_ok());
                frame[4] = 0x80;
                prop_assert!(decode(&frame).is_ok());
            }
        }

        #[test]
        fn what_is_written_is_read_back(
            digits in "[0-9]{0,20}", esm_class: u8, data_coding: u8, sequence: u32,
            user_data in proptest::collection::vec(any::<u8>(), 0..=255),
        ) {
            let destination = Address { ton: 1, npi: 1, digits };
            let registered_delivery = 1;
            let message =
                ShortMessage { destination, esm_class, data_coding, registered_delivery, user_data, ..Default::default() };
            let mut out = Vec::new();
            encode(0, sequence, &Body::SubmitSm(message.clone()), &mut out).unwrap();
            prop_assert_eq!(frame_length(&out), Ok(Some(out.len())));
            let (header, body) = decode(&out).unwrap();
            prop_assert_eq!((header.sequence, body), (sequence, Ok(Body::SubmitSm(message))));
        }
    }
}
