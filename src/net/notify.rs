//! What the service manager is told (sd_notify(3)): that we are ready, read our files again, end, and are alive. Where
//! nobody asked for it, nothing is said.

use std::{
    env, io,
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram},
    },
    time::Duration,
};

/// The way to the service manager.
#[derive(Debug, Default)]
pub struct Notifier {
    socket: Option<UnixDatagram>,
    watchdog: Option<Duration>,
}

impl Notifier {
    /// The one that the environment names in `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID`.
    pub fn from_env() -> Self {
        let Some(address) = env::var("NOTIFY_SOCKET").ok().filter(|address| !address.is_empty()) else {
            return Notifier::default();
        };
        let ours = env::var("WATCHDOG_PID").map_or(true, |pid| pid == std::process::id().to_string());
        let watchdog = env::var("WATCHDOG_USEC").ok().filter(|_| ours).and_then(|usec| usec.parse().ok());
        match connect(&address) {
            Ok(socket) => Notifier { socket: Some(socket), watchdog: watchdog.map(Duration::from_micros) },
            Err(error) => {
                tracing::warn!(%error, "the service manager's socket cannot be reached: nothing is told there");
                Notifier::default()
            }
        }
    }

    /// Tells assignments, one a line: `READY=1`, `STATUS=…`. What cannot be told now is not told.
    pub fn tell(&self, assignments: &str) {
        if let Some(socket) = &self.socket
            && let Err(error) = socket.send(assignments.as_bytes())
        {
            tracing::debug!(%error, "the service manager was not told");
        }
    }

    /// How often a sign of life is due: twice in the time after which we would be taken for dead.
    pub fn heartbeat(&self) -> Option<Duration> {
        self.watchdog.map(|longest| longest / 2).filter(|beat| !beat.is_zero())
    }
}

fn connect(address: &str) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    // It must never hold anybody up.
    socket.set_nonblocking(true)?;
    let address = match address.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(address)?,
    };
    socket.connect_addr(&address)?;
    Ok(socket)
}
