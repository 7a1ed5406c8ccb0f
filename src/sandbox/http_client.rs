//! A small HTTP/1.1 client (RFC 9112) for the sandbox: one request a connection, loopback only, JSON in and out.

use serde_json::Value;
use std::{io, net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// The longest answer that is read; a recording of an hour in stereo has 115 MB, the sandbox's have few.
const MAX_ANSWER: u64 = 64 << 20;
const LIMIT: Duration = Duration::from_secs(10);

/// Why a request had no usable answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The base URL that was given.
    #[error("{0}: only http://, a loopback address and a port are spoken to")]
    BadBase(String),
    /// The connection could not be made, or broke.
    #[error("{method} {path}: {source}")]
    Io {
        /// That of the request.
        method: &'static str,
        /// That of the request.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// It was given up.
    #[error("{method} {path}: no answer within 10 s")]
    TimedOut {
        /// That of the request.
        method: &'static str,
        /// That of the request.
        path: String,
    },
    /// What came is not understood, or is too long.
    #[error("{method} {path}: the answer is no HTTP")]
    Malformed {
        /// That of the request.
        method: &'static str,
        /// That of the request.
        path: String,
    },
    /// An answer other than 2xx.
    #[error("{method} {path}: {status} {detail}")]
    Status {
        /// That of the request.
        method: &'static str,
        /// That of the request.
        path: String,
        /// The HTTP status.
        status: u16,
        /// The problem's `detail`, or the beginning of the body.
        detail: String,
    },
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// Whole, whatever its transfer coding was.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as JSON; Null when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

/// Speaks to one server, as one user once a token is set.
#[derive(Clone, Debug)]
pub struct Client {
    server: SocketAddr,
    /// Before every path, such as `/api/v1`.
    prefix: String,
    token: Option<String>,
}

impl Client {
    /// `base` is such as `http://127.0.0.1:8080/api/v1`. Errors for anything but http and a loopback address with a
    /// port.
    pub fn new(base: &str) -> Result<Client, HttpError> {
        let bad = || HttpError::BadBase(base.to_owned());
        let rest = base.strip_prefix("http://").ok_or_else(bad)?;
        let (host, prefix) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let server: SocketAddr = host.replace("localhost", "127.0.0.1").parse().map_err(|_| bad())?;
        if !server.ip().is_loopback() {
            return Err(bad());
        }
        Ok(Client { server, prefix: prefix.trim_end_matches('/').to_owned(), token: None })
    }

    /// The same server, as the user of this token.
    pub fn with_token(&self, token: &str) -> Client {
        Client { token: Some(token.to_owned()), ..self.clone() }
    }

    /// GET; Err unless the status is 2xx.
    pub async fn get(&self, path: &str) -> Result<Answer, HttpError> {
        self.send("GET", path, &[], None).await
    }

    /// POST of JSON; Err unless the status is 2xx.
    pub async fn post(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> Result<Answer, HttpError> {
        self.send("POST", path, headers, Some(body)).await
    }

    /// PUT of JSON; Err unless the status is 2xx.
    pub async fn put(&self, path: &str, body: &Value) -> Result<Answer, HttpError> {
        self.send("PUT", path, &[], Some(body)).await
    }

    async fn send(
        &self,
        method: &'static str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Answer, HttpError> {
        let answer = match timeout(LIMIT, self.exchange(method, path, headers, body)).await {
            Ok(Ok(bytes)) => parse(&bytes),
            Ok(Err(source)) => return Err(HttpError::Io { method, path: path.to_owned(), source }),
            Err(_) => return Err(HttpError::TimedOut { method, path: path.to_owned() }),
        };
        let answer = answer.ok_or_else(|| HttpError::Malformed { method, path: path.to_owned() })?;
        if (200..300).contains(&answer.status) {
            return Ok(answer);
        }
        let problem = answer.json();
        let detail = ["detail", "title", "type"].into_iter().find_map(|key| problem[key].as_str());
        let text = detail.map_or_else(|| String::from_utf8_lossy(&answer.body).into_owned(), str::to_owned);
        let detail = text.chars().take(200).collect();
        Err(HttpError::Status { method, path: path.to_owned(), status: answer.status, detail })
    }

    async fn exchange(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> io::Result<Vec<u8>> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let mut head = format!("{method} {}{path} HTTP/1.1\r\nHost: {}\r\n", self.prefix, self.server);
        head += &format!("Connection: close\r\nAccept: */*\r\nContent-Length: {}\r\n", body.len());
        if !body.is_empty() {
            head += "Content-Type: application/json\r\n";
        }
        if let Some(token) = &self.token {
            head += &format!("Authorization: Bearer {token}\r\n");
        }
        headers.iter().for_each(|(name, value)| head += &format!("{name}: {value}\r\n"));
        let mut stream = TcpStream::connect(self.server).await?;
        stream.write_all(format!("{head}\r\n{body}").as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(MAX_ANSWER).read_to_end(&mut answer).await?;
        Ok(answer)
    }
}

fn parse(bytes: &[u8]) -> Option<Answer> {
    let head = bytes.windows(4).position(|w| w == b"\r\n\r\n")?;
    let text = std::str::from_utf8(bytes.get(..head)?).ok()?;
    let mut lines = text.split("\r\n");
    let status = lines.next()?.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let body = bytes.get(head + 4..)?;
    let mut answer = Answer { status, headers, body: Vec::new() };
    answer.body = if answer.header("transfer-encoding").is_some_and(|v| v.eq_ignore_ascii_case("chunked")) {
        unchunk(body)?
    } else {
        // A body that was cut short is no answer.
        let length = answer.header("content-length").and_then(|v| v.parse().ok()).unwrap_or(body.len());
        body.get(..length)?.to_vec()
    };
    Some(answer)
}

fn unchunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = rest.windows(2).position(|w| w == b"\r\n")?;
        let size = std::str::from_utf8(rest.get(..line)?).ok()?.split(';').next()?.trim();
        let size = usize::from_str_radix(size, 16).ok()?;
        rest = rest.get(line + 2..)?;
        if size == 0 {
            return Some(body);
        }
        body.extend(rest.get(..size)?);
        rest = rest.get(size.checked_add(2)?..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    async fn serve(answer: &'static str) -> (Client, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = Client::new(&format!("http://{}/api/v1/", listener.local_addr().unwrap())).unwrap();
        let task = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut buffer = [0u8; 4096];
            let length = stream.read(&mut buffer).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8_lossy(&buffer[..length]).into_owned()
        });
        (client, task)
    }

    #[tokio::test]
    async fn asks_and_reads() {
        let (client, task) =
            serve("HTTP/1.1 201 Created\r\nETag: \"3\"\r\nContent-Length: 9\r\n\r\n{\"a\":\"b\"}").await;
        let body = serde_json::json!({"x": 1});
        let answer = client.with_token("t").post("/sessions", &[("If-Match", "\"2\"")], &body).await.unwrap();
        assert_eq!(
            (answer.status, answer.json()["a"].as_str(), answer.header("etag")),
            (201, Some("b"), Some("\"3\""))
        );
        let asked = task.await.unwrap();
        assert!(asked.starts_with("POST /api/v1/sessions HTTP/1.1\r\n"), "{asked}");
        assert!(asked.contains("Authorization: Bearer t\r\n") && asked.contains("If-Match: \"2\"\r\n"));
        assert!(asked.ends_with("\r\n\r\n{\"x\":1}"));
    }

    #[tokio::test]
    async fn reads_chunks_and_tells_problems() {
        let (client, _task) =
            serve("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x\r\nde\r\n0\r\n\r\n").await;
        assert_eq!(client.get("/x").await.unwrap().body, b"abcde");
        let (client, _task) = serve("HTTP/1.1 409 Conflict\r\n\r\n{\"detail\":\"not now\"}").await;
        let error = client.put("/x", &Value::Null).await.unwrap_err().to_string();
        assert_eq!(error, "PUT /x: 409 not now");
        let (client, _task) = serve("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc").await;
        assert!(matches!(client.get("/x").await, Err(HttpError::Malformed { .. })));
    }

    #[test]
    fn only_this_host_is_spoken_to() {
        for base in ["http://192.0.2.1:80", "https://127.0.0.1:1", "http://127.0.0.1", "x"] {
            assert!(Client::new(base).is_err(), "{base}");
        }
        assert!(Client::new("http://localhost:8080").is_ok());
    }
}
