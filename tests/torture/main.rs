//! RFC 4475 over the wire: each of its 49 messages is sent over UDP and over TCP to an element of ours, and what
//! comes back is compared with `expected.toml`.

mod element;

use element::Element;
use hotline::sip::message::{HeaderName, Message};
use socket2::{Domain, Protocol, Socket, Type};
use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, UdpSocket},
    time::timeout,
};

/// How long an answer may take before silence is taken for it.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long silence on an open stream is watched, where nothing can show that the message was read.
const WATCH: Duration = Duration::from_millis(300);
/// Where the messages come from: an address that nothing else uses, since the answers go to its port 5060.
const SOURCE: [u8; 4] = [127, 44, 75, 1];
/// In the Call-ID of our OPTIONS.
const PROBE: &[u8] = b"torture-probe";

#[derive(serde::Deserialize)]
struct Case {
    file: String,
    parser: String,
    wire: toml::Value,
    stream: Option<toml::Value>,
}

/// What came back.
#[derive(Debug, PartialEq, Eq)]
enum Got {
    Status(u16),
    Silence,
    /// Silence, not even our OPTIONS behind it was answered, and the connection stays open.
    Wait,
}

impl Got {
    /// Whether this is what the table names: a status, "silence", "wait", or "accept".
    fn is(&self, expected: &toml::Value) -> bool {
        match (self, expected) {
            (Got::Status(status), toml::Value::Integer(number)) => i64::from(*status) == *number,
            (Got::Status(status), toml::Value::String(word)) => {
                word == "accept" && ![400, 416, 420, 501, 505].contains(status)
            }
            (Got::Silence, toml::Value::String(word)) => word == "silence",
            (Got::Wait, toml::Value::String(word)) => word == "wait",
            _ => false,
        }
    }
}

fn cases() -> BTreeMap<String, (Case, Vec<u8>)> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/torture");
    let table = std::fs::read_to_string(directory.join("expected.toml")).expect("expected.toml");
    let table: BTreeMap<String, Case> = toml::from_str(&table).expect("a table of cases");
    let bytes = |case: &Case| std::fs::read(directory.join(&case.file)).expect("a message");
    table.into_iter().map(|(name, case)| (name, (bytes(&case), case))).map(|(n, (b, c))| (n, (c, b))).collect()
}

/// An OPTIONS whose answer shows that all that was sent before it has been dealt with.
fn probe(transport: &str, source: SocketAddr, number: usize) -> Vec<u8> {
    let id = std::str::from_utf8(PROBE).expect("text");
    format!(
        "OPTIONS sip:torture.test SIP/2.0\r\nVia: SIP/2.0/{transport} {source};branch=z9hG4bK-{id}-{number}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:probe@torture.test>;tag=p\r\nTo: <sip:torture.test>\r\n\
         Call-ID: {id}-{number}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    )
    .into_bytes()
}

fn status(message: &[u8]) -> u16 {
    assert!(message.starts_with(b"SIP/2.0 "), "no response: {}", String::from_utf8_lossy(message));
    std::str::from_utf8(&message[8..11]).ok().and_then(|digits| digits.parse().ok()).expect("a status")
}

/// The port that the answer to a datagram goes to: that of sent-by in its topmost Via.
fn sent_by_port(bytes: &[u8]) -> u16 {
    let head = String::from_utf8_lossy(bytes);
    let via = head.lines().find_map(|line| line.strip_prefix("Via:").or_else(|| line.strip_prefix("v:")));
    let port = via.and_then(|via| via.split_once("UDP ")?.1.split(';').next()?.split_once(':')?.1.trim().parse().ok());
    port.unwrap_or(5060)
}

fn datagrams(port: u16) -> UdpSocket {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP)).expect("a socket");
    socket.set_reuse_address(true).expect("reuse");
    socket.set_nonblocking(true).expect("nonblocking");
    let address = SocketAddr::from((SOURCE, port));
    socket.bind(&address.into()).unwrap_or_else(|error| panic!("{address}: {error}"));
    UdpSocket::from_std(socket.into()).expect("a socket")
}

/// The first final answer among the messages that came before the probe's.
fn verdict(answers: &[Vec<u8>]) -> Got {
    let first = answers.iter().map(|answer| status(answer)).find(|status| *status >= 200);
    first.map_or(Got::Silence, Got::Status)
}

async fn over_udp(element: &Element, bytes: &[u8], number: usize) -> (Got, Vec<Vec<u8>>) {
    let socket = datagrams(sent_by_port(bytes));
    socket.send_to(bytes, element.udp).await.expect("sent");
    let source = socket.local_addr().expect("an address");
    socket.send_to(&probe("UDP", source, number), element.udp).await.expect("sent");
    let mut answers = Vec::new();
    let mut buffer = vec![0; 65_536];
    loop {
        let (length, from) = timeout(PATIENCE, socket.recv_from(&mut buffer)).await.expect("an answer").expect("read");
        assert_eq!(from, element.udp);
        let answer = buffer[..length].to_vec();
        if memchr::memmem::find(&answer, PROBE).is_some() {
            assert_eq!(status(&answer), 200);
            return (verdict(&answers), answers);
        }
        answers.push(answer);
    }
}

async fn over_tcp(element: &Element, bytes: &[u8], number: usize) -> (Got, Vec<Vec<u8>>) {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(SocketAddr::from((SOURCE, 0))).expect("bound");
    let source = socket.local_addr().expect("an address");
    let mut stream = socket.connect(element.tcp).await.expect("connected");
    let mut all = bytes.to_vec();
    all.extend(probe("TCP", source, number));
    stream.write_all(&all).await.expect("written");
    let mut received = Vec::new();
    let open = loop {
        let patience = if received.is_empty() { WATCH } else { PATIENCE };
        match timeout(patience, stream.read_buf(&mut received)).await {
            Err(_) => break true,
            // A reset is the end too: what we sent behind the fault was not read.
            Ok(Ok(0) | Err(_)) => break false,
            Ok(Ok(_)) if memchr::memmem::find(&received, PROBE).is_some() => break true,
            Ok(Ok(_)) => {}
        }
    };
    let probed = memchr::memmem::find(&received, PROBE).is_some();
    // Our answers have no body: each ends with its head.
    let answers: Vec<Vec<u8>> = String::from_utf8_lossy(&received)
        .split_inclusive("\r\n\r\n")
        .filter(|answer| memchr::memmem::find(answer.as_bytes(), PROBE).is_none())
        .map(|answer| answer.as_bytes().to_vec())
        .collect();
    let got = match verdict(&answers) {
        Got::Silence if open && !probed => Got::Wait,
        got => got,
    };
    assert!(probed || !open || got == Got::Wait, "an answer, but the stream was not read on");
    (got, answers)
}

/// An answer is a message itself, names its request and has a tag of ours, as far as the request let it.
fn check_answers(name: &str, request: &[u8], answers: &[Vec<u8>], faults: &mut Vec<String>) {
    for (number, answer) in answers.iter().enumerate() {
        match Message::parse(answer.clone().into()) {
            Ok(Message::Response(response)) => {
                if response.status > 100 && response.headers.to_tag().is_none() {
                    faults.push(format!("{name}: {} without a tag in To", response.status));
                }
                // Behind the first there may be a second request (dblreq).
                if let (0, Ok(Message::Request(request))) = (number, Message::parse(request.to_vec().into())) {
                    for name in [HeaderName::CallId, HeaderName::CSeq, HeaderName::From] {
                        assert_eq!(response.headers.get(&name), request.headers.get(&name));
                    }
                }
            }
            Ok(Message::Request(_)) => faults.push(format!("{name}: a request came back")),
            // What is missing or broken in the request cannot be whole in its answer.
            Err(error) if Message::parse(request.to_vec().into()).is_err() => println!("{name}: answer: {error}"),
            Err(error) => faults.push(format!("{name}: the answer is malformed: {error}")),
        }
    }
}

#[tokio::test]
async fn every_message_gets_the_answer_of_the_table_and_the_element_lives_on() {
    let element = Element::start().await;
    let cases = cases();
    assert_eq!(cases.len(), 49);
    let mut faults = Vec::new();
    for (number, (name, (case, bytes))) in cases.iter().enumerate() {
        let before = element.at_rest().await.counters.malformed;
        let (got, answers) = over_udp(&element, bytes, number).await;
        println!("UDP {name}: {got:?}");
        if !got.is(&case.wire) {
            faults.push(format!("{name} over UDP: {got:?}, not {}", case.wire));
        }
        let malformed = element.at_rest().await.counters.malformed - before;
        if malformed != u64::from(case.parser == "reject") {
            faults.push(format!("{name} over UDP: {malformed} counted as malformed"));
        }
        check_answers(name, bytes, &answers, &mut faults);

        let expected = case.stream.as_ref().unwrap_or(&case.wire);
        let (got, answers) = over_tcp(&element, bytes, 100 + number).await;
        println!("TCP {name}: {got:?}");
        if !got.is(expected) {
            faults.push(format!("{name} over TCP: {got:?}, not {expected}"));
        }
        check_answers(name, bytes, &answers, &mut faults);
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    element.at_rest().await;
    // A branch of its own each: the same one would be the same transaction, whatever it came by (section 17.2.3).
    for (branch, transport) in [(1_000, "UDP"), (1_100, "TCP")] {
        let options = probe(transport, SocketAddr::from((SOURCE, 5060)), branch);
        let options =
            String::from_utf8(options).expect("text").replace("torture-probe", "a-last-question").into_bytes();
        let (got, _) = match transport {
            "UDP" => over_udp(&element, &options, 1_001).await,
            _ => over_tcp(&element, &options, 1_002).await,
        };
        assert_eq!(got, Got::Status(200), "{transport}");
    }
    let figures = element.at_rest().await;
    println!("{figures:?}");
}

/// All at once, each many times and cut anywhere, must not stop the element either.
#[tokio::test]
async fn a_storm_of_broken_messages_is_survived() {
    let element = Element::start().await;
    let cases = cases();
    for (_, bytes) in cases.values() {
        let mut stream = tokio::net::TcpStream::connect(element.tcp).await.expect("connected");
        let socket = UdpSocket::bind("127.44.75.2:0").await.expect("bound");
        for cut in (1..bytes.len()).step_by(97) {
            socket.send_to(&bytes[..cut], element.udp).await.expect("sent");
            socket.send_to(&bytes[cut..], element.udp).await.expect("sent");
            // The element may have closed the stream for what it held.
            let _ = stream.write_all(&bytes[..cut]).await;
        }
    }
    element.at_rest().await;
    let options = probe("TCP", element.tcp, 1);
    let options = String::from_utf8(options).expect("text").replace("torture-probe", "a-last-question").into_bytes();
    assert_eq!(over_tcp(&element, &options, 2).await.0, Got::Status(200));
    assert!(element.figures().counters.malformed > 100);
}
