//! Just enough SDP (RFC 8866, RFC 3264) for one audio line: PCMA, PCMU and telephone-event.

use super::audio::G711;
use std::{
    fmt::Write,
    net::{IpAddr, SocketAddr},
};

/// Which way audio flows, seen from the side that writes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// Both ways.
    #[default]
    SendRecv,
    /// The writer sends alone: it holds the other side.
    SendOnly,
    /// The writer listens alone: it is held.
    RecvOnly,
    /// Neither way.
    Inactive,
}

impl Direction {
    fn name(self) -> &'static str {
        match self {
            Direction::SendRecv => "sendrecv",
            Direction::SendOnly => "sendonly",
            Direction::RecvOnly => "recvonly",
            Direction::Inactive => "inactive",
        }
    }

    /// What to answer to this offer when we would like `ours` (RFC 3264 section 6.1).
    pub fn answer(self, ours: Direction) -> Direction {
        let send = self.receives() && ours.sends();
        let receive = self.sends() && ours.receives();
        match (send, receive) {
            (true, true) => Direction::SendRecv,
            (true, false) => Direction::SendOnly,
            (false, true) => Direction::RecvOnly,
            (false, false) => Direction::Inactive,
        }
    }

    /// Whether its writer sends.
    pub fn sends(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::SendOnly)
    }

    /// Whether its writer receives.
    pub fn receives(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::RecvOnly)
    }
}

/// The audio line of one side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Where its writer receives RTP; an unspecified address is the old form of hold.
    pub rtp: SocketAddr,
    /// Its codecs, in its order of preference.
    pub codecs: Vec<G711>,
    /// Its payload type for telephone-event at 8000.
    pub dtmf: Option<u8>,
    /// Which way audio flows, as its writer sees it.
    pub direction: Direction,
}

impl Description {
    /// Writes the session; `version` goes up with each new description (RFC 3264 section 8).
    pub fn write(&self, session: u64, version: u64) -> String {
        let family = if self.rtp.is_ipv4() { "IP4" } else { "IP6" };
        let address = self.rtp.ip();
        let types = self.codecs.iter().map(|c| c.payload_type()).chain(self.dtmf);
        let types = types.fold(String::new(), |all, one| format!("{all} {one}"));
        let mut text = format!(
            "v=0\r\no=sandbox {session} {version} IN {family} {address}\r\ns=-\r\nc=IN {family} {address}\r\nt=0 0\r\n\
             m=audio {} RTP/AVP{types}\r\n",
            self.rtp.port()
        );
        for codec in &self.codecs {
            let name = if *codec == G711::Pcma { "PCMA" } else { "PCMU" };
            let _ = write!(text, "a=rtpmap:{} {name}/8000\r\n", codec.payload_type());
        }
        if let Some(dtmf) = self.dtmf {
            let _ = write!(text, "a=rtpmap:{dtmf} telephone-event/8000\r\na=fmtp:{dtmf} 0-15\r\n");
        }
        let _ = write!(text, "a=ptime:20\r\na={}\r\n", self.direction.name());
        text
    }

    /// Reads the first audio line that is not refused; None when there is none that we can speak.
    pub fn parse(body: &[u8]) -> Option<Description> {
        let text = std::str::from_utf8(body).ok()?;
        let (mut session_ip, mut session_direction) = (None, Direction::SendRecv);
        let mut audio: Option<Description> = None;
        let mut in_audio = false;
        for line in text.lines().map(str::trim_end) {
            let Some((kind, value)) = line.split_once('=') else { continue };
            match kind {
                "m" if audio.is_some() => in_audio = false,
                "m" => {
                    audio = media_line(value, session_ip, session_direction);
                    in_audio = audio.is_some();
                }
                "c" => {
                    let ip = value.split_whitespace().nth(2).and_then(|a| a.split('/').next()?.parse::<IpAddr>().ok());
                    match (ip, audio.as_mut()) {
                        (Some(ip), Some(audio)) if in_audio => audio.rtp.set_ip(ip),
                        (ip, None) => session_ip = ip,
                        _ => {}
                    }
                }
                "a" => match (direction(value), audio.as_mut()) {
                    (Some(way), Some(audio)) if in_audio => audio.direction = way,
                    (Some(way), None) => session_direction = way,
                    (None, Some(audio)) if in_audio => telephone_event(value, audio),
                    _ => {}
                },
                _ => {}
            }
        }
        audio.filter(|a| !a.codecs.is_empty())
    }
}

fn media_line(value: &str, ip: Option<IpAddr>, direction: Direction) -> Option<Description> {
    let mut parts = value.split_whitespace();
    let (kind, port) = (parts.next()?, parts.next()?.split('/').next()?.parse::<u16>().ok()?);
    if kind != "audio" || port == 0 || !parts.next()?.starts_with("RTP/AVP") {
        return None;
    }
    let codecs = parts.filter_map(|t| G711::of(t.parse().ok()?)).collect();
    let ip = ip.unwrap_or(IpAddr::from([0, 0, 0, 0]));
    Some(Description { rtp: SocketAddr::new(ip, port), codecs, dtmf: None, direction })
}

fn direction(value: &str) -> Option<Direction> {
    [Direction::SendRecv, Direction::SendOnly, Direction::RecvOnly, Direction::Inactive]
        .into_iter()
        .find(|d| d.name() == value)
}

fn telephone_event(value: &str, audio: &mut Description) {
    let Some((number, name)) = value.strip_prefix("rtpmap:").and_then(|v| v.split_once(' ')) else { return };
    if name.trim().eq_ignore_ascii_case("telephone-event/8000") && audio.dtmf.is_none() {
        audio.dtmf = number.parse().ok().filter(|n| (96..=127).contains(n));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours() -> Description {
        Description {
            rtp: "127.0.0.1:4000".parse().unwrap(),
            codecs: vec![G711::Pcma, G711::Pcmu],
            dtmf: Some(101),
            direction: Direction::SendRecv,
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let held = Description { direction: Direction::SendOnly, ..ours() };
        for description in [ours(), held] {
            assert_eq!(Description::parse(description.write(1, 2).as_bytes()).unwrap(), description);
        }
    }

    #[test]
    fn a_foreign_session() {
        let text = "v=0\r\no=- 1 1 IN IP4 10.0.0.1\r\ns=x\r\nc=IN IP4 10.0.0.1\r\na=inactive\r\nt=0 0\r\n\
                    m=audio 0 RTP/AVP 8\r\nm=audio 5000/2 RTP/AVP 9 8 110\r\nc=IN IP4 10.0.0.2\r\n\
                    a=rtpmap:110 Telephone-Event/8000\r\nm=video 6000 RTP/AVP 96\r\nc=IN IP4 9.9.9.9\r\na=sendrecv\r\n";
        let read = Description::parse(text.as_bytes()).unwrap();
        assert_eq!(read.rtp, "10.0.0.2:5000".parse().unwrap());
        assert_eq!((read.codecs, read.dtmf, read.direction), (vec![G711::Pcma], Some(110), Direction::Inactive));
        assert!(Description::parse(b"m=audio 5000 RTP/AVP 18\r\n").is_none());
        assert!(Description::parse(b"\xff\xfe").is_none() && Description::parse(b"m=audio\r\nc=\r\n").is_none());
    }

    #[test]
    fn answers_to_hold() {
        use Direction::*;
        for (offer, answer) in [(SendRecv, SendRecv), (SendOnly, RecvOnly), (RecvOnly, SendOnly), (Inactive, Inactive)]
        {
            assert_eq!(offer.answer(SendRecv), answer);
        }
        assert_eq!(SendRecv.answer(SendOnly), SendOnly);
        assert_eq!(SendOnly.answer(SendOnly), Inactive);
    }
}
