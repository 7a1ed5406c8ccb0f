//! Whom an exercise may call: a sandbox on this host, and nobody else.

use super::SimulateError;
use crate::sandbox::http_client::Client;
use std::net::SocketAddr;

/// Where a sandbox usually is.
pub const USUAL: &str = "http://127.0.0.1:8080";
/// The agents of a sandbox who serve everybody; 8020 serves 12388 alone.
pub const SANDBOX_AGENTS: u32 = 19;
/// The hotlines whose departments a sandbox plays.
pub const SANDBOX_HOTLINES: [&str; 3] = ["12330", "12315", "12333"];
/// From the port of the trunk to that of the agents.
const REGISTRAR: u16 = 10;

/// A running sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sandbox {
    pub trunk: SocketAddr,
    pub registrar: SocketAddr,
    pub api: String,
}

/// Looks whether a sandbox answers there; None when nobody does. Everything but a sandbox is refused.
pub async fn find(base: &str) -> Result<Option<Sandbox>, SimulateError> {
    let base = base.trim_end_matches('/');
    let client = Client::new(base).map_err(|_| {
        SimulateError::Said(format!("{base}:只呼叫本机的沙箱,请写成 {USUAL}(a real centre is never called)"))
    })?;
    if client.get("/healthz").await.is_err() {
        return Ok(None);
    }
    let page = client.get("/").await.map(|answer| String::from_utf8_lossy(&answer.body).into_owned());
    match dialled(&page.unwrap_or_default()) {
        Some(trunk) => {
            let registrar = SocketAddr::new(trunk.ip(), trunk.port().saturating_add(REGISTRAR));
            Ok(Some(Sandbox { trunk, registrar, api: format!("{base}/api/v1") }))
        }
        None => Err(SimulateError::Said(format!(
            "{base} 不是沙箱,不向它呼叫:演练话务绝不能打到真实的热线 (not a sandbox: refused)"
        ))),
    }
}

/// Where the page says that a sandbox's citizens dial: only a sandbox's page says so.
fn dialled(page: &str) -> Option<SocketAddr> {
    let dial = page.split_once("data-dial=\"sip:12345@")?.1;
    let address: SocketAddr = dial.split_once('"')?.0.parse().ok()?;
    address.ip().is_loopback().then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    /// A server whose every page is this.
    async fn served(page: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut buffer = [0u8; 4096];
                let _ = stream.read(&mut buffer).await;
                let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{page}", page.len());
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        base
    }

    #[tokio::test]
    async fn a_sandbox_is_found_and_others_are_refused() {
        let base = served("<body data-dial=\"sip:12345@127.0.0.1:5060\">").await;
        let found = find(&base).await.unwrap().unwrap();
        assert_eq!((found.trunk.port(), found.registrar.port()), (5060, 5070));
        for page in ["<body data-dial=\"\">", "hello", "<body data-dial=\"sip:12345@192.0.2.1:5060\">"] {
            let base = served(page).await;
            assert!(find(&base).await.unwrap_err().to_string().contains("不是沙箱"), "{page}");
        }
    }

    #[tokio::test]
    async fn only_this_host_is_asked_and_nobody_is_no_error() {
        assert!(find("http://192.0.2.7:8080").await.unwrap_err().to_string().contains("只呼叫本机"));
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert_eq!(find(&format!("http://{free}")).await.unwrap(), None);
    }
}
