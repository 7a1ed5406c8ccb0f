//! The centre of an exercise as a process of its own: written a configuration, started, measured, killed at times, ended.

use super::{SimulateError, department::HOTLINES, workers::tie};
use crate::{
    net::clock,
    sandbox::{http_client::Client, sample},
};
use std::{
    fmt::Write as _,
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tokio::{
    process::{Child, Command},
    time::{sleep, timeout},
};

/// How long a start may take, with a journal to read.
const START: Duration = Duration::from_secs(30);
/// How long an end may take.
const END: Duration = Duration::from_secs(20);
/// The first agent's number.
const FIRST_AGENT: u32 = 8001;

/// What its configuration needs to know.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub agents: u32,
    pub wrap_up: Duration,
    pub departments: SocketAddr,
    pub sms: SocketAddr,
}

/// A centre that this process started.
#[derive(Debug)]
pub struct Server {
    program: PathBuf,
    folder: PathBuf,
    child: Option<Child>,
    pub trunk: SocketAddr,
    pub registrar: SocketAddr,
    pub http: SocketAddr,
    /// When it was killed, in milliseconds since 1970.
    pub kills: Vec<i64>,
    /// How long it took from each kill until it was ready again.
    pub away: Vec<Duration>,
    /// When the present process started.
    pub started_at: i64,
}

/// What a process uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Resident memory in kilobytes.
    pub resident_kb: u64,
    pub files: u64,
}

/// The numbers of so many agents.
pub fn agent_numbers(agents: u32) -> Vec<String> {
    (FIRST_AGENT..FIRST_AGENT + agents).map(|number| number.to_string()).collect()
}

impl Server {
    /// Writes a configuration into `folder` and starts the program with it.
    pub async fn start(program: &Path, folder: &Path, wanted: &Wanted) -> Result<Server, SimulateError> {
        fs::create_dir_all(folder).map_err(|error| SimulateError::io(folder.display(), error))?;
        let [trunk, registrar, http] = free_ports()?;
        let file = folder.join("hotline.toml");
        fs::write(&file, configuration(wanted, trunk, registrar, http))
            .map_err(|error| SimulateError::io(file.display(), error))?;
        let mut server = Server {
            program: program.to_owned(),
            folder: folder.to_owned(),
            child: None,
            trunk,
            registrar,
            http,
            kills: Vec::new(),
            away: Vec::new(),
            started_at: 0,
        };
        server.launch().await?;
        Ok(server)
    }

    /// The log of all its runs.
    pub fn log(&self) -> PathBuf {
        self.folder.join("hotline.log")
    }

    async fn launch(&mut self) -> Result<(), SimulateError> {
        let path = self.log();
        let open = || fs::OpenOptions::new().create(true).append(true).open(&path);
        let (out, err) = open().and_then(|out| Ok((out, open()?))).map_err(|e| SimulateError::io(path.display(), e))?;
        let mut command = Command::new(&self.program);
        command.args(["serve", "--config", "hotline.toml"]).current_dir(&self.folder);
        command.stdin(Stdio::null()).stdout(out).stderr(err);
        tie(&mut command);
        let mut child = command.spawn().map_err(|error| SimulateError::io(self.program.display(), error))?;
        self.started_at = clock::now().wall.0;
        let probe = Client::new(&format!("http://{}", self.http))?;
        let ready = async {
            loop {
                if let Ok(Some(exit)) = child.try_wait() {
                    return Err(SimulateError::Said(format!("热线程序没有启动({exit}),见 {}", path.display())));
                }
                if probe.get("/readyz").await.is_ok() {
                    return Ok(());
                }
                sleep(Duration::from_millis(50)).await;
            }
        };
        match timeout(START, ready).await {
            Ok(ready) => ready?,
            Err(_) => return Err(SimulateError::Said(format!("热线程序 30 秒内没有就绪,见 {}", path.display()))),
        }
        self.child = Some(child);
        Ok(())
    }

    /// `kill -9`, and a new start on the same data.
    pub async fn crash(&mut self) -> Result<(), SimulateError> {
        let began = clock::now();
        self.kills.push(began.wall.0);
        if let Some(mut child) = self.child.take() {
            child.kill().await.map_err(|error| SimulateError::io("kill", error))?;
        }
        self.launch().await?;
        self.away.push(clock::now().mono.saturating_duration_since(began.mono));
        Ok(())
    }

    /// Whether it ended without being asked.
    pub fn is_dead(&mut self) -> bool {
        self.child.as_mut().is_none_or(|child| !matches!(child.try_wait(), Ok(None)))
    }

    /// What it uses now.
    pub fn usage(&self) -> Option<Usage> {
        let pid = self.child.as_ref()?.id()?;
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let resident_kb = line.split_whitespace().next()?.parse().ok()?;
        let files = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count() as u64;
        Some(Usage { resident_kb, files })
    }

    /// Ends it as an operator would; whether it ended well.
    pub async fn end(&mut self) -> bool {
        let Some(mut child) = self.child.take() else { return false };
        if let Some(pid) = child.id() {
            // SAFETY: a signal to a child that has not been waited for.
            unsafe { libc::kill(pid as libc::pid_t, libc::SIGTERM) };
        }
        match timeout(END, child.wait()).await {
            Ok(Ok(exit)) => exit.success(),
            _ => {
                let _ = child.kill().await;
                false
            }
        }
    }

    /// Lines of the log that tell of a panic.
    pub fn panics(&self) -> Vec<String> {
        let log = fs::read(self.log()).unwrap_or_default();
        let text = String::from_utf8_lossy(&log);
        text.lines().filter(|line| line.contains("panicked at")).map(str::to_owned).collect()
    }

    /// How often each error was logged, the most frequent first: its message without times and numbers.
    pub fn errors(&self) -> Vec<(String, usize)> {
        let log = fs::read(self.log()).unwrap_or_default();
        let mut counts: Vec<(String, usize)> = Vec::new();
        for line in String::from_utf8_lossy(&log).lines() {
            let Some((_, message)) = line.split_once(" ERROR ") else { continue };
            let message: String = message.chars().filter(|c| !c.is_ascii_digit()).take(120).collect();
            match counts.iter_mut().find(|(known, _)| *known == message) {
                Some((_, count)) => *count += 1,
                None => counts.push((message, 1)),
            }
        }
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        counts
    }
}

/// Three addresses that are free for UDP and TCP.
fn free_ports() -> Result<[SocketAddr; 3], SimulateError> {
    let one = || -> std::io::Result<(TcpListener, UdpSocket)> {
        loop {
            let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            if let Ok(udp) = UdpSocket::bind(tcp.local_addr()?) {
                return Ok((tcp, udp));
            }
        }
    };
    let all = || -> std::io::Result<[SocketAddr; 3]> {
        // All are held until all are found.
        let held = [one()?, one()?, one()?];
        Ok([held[0].0.local_addr()?, held[1].0.local_addr()?, held[2].0.local_addr()?])
    };
    all().map_err(|error| SimulateError::io("127.0.0.1", error))
}

/// A centre with so many agents, whose departments and SMS centre are other processes.
fn configuration(wanted: &Wanted, trunk: SocketAddr, registrar: SocketAddr, http: SocketAddr) -> String {
    let last = FIRST_AGENT + wanted.agents.max(1) - 1;
    let password = sample::password("{number}");
    let wrap_up = wanted.wrap_up.as_millis();
    let mut text = format!(
        r#"# Written for an exercise (hotline simulate): loopback only, with the sandbox's passwords.
time_zone = "Asia/Shanghai"
data = "data"
[http]
listen = ["{http}"]
[api]
max_rate = 5000
[sip]
departments = "{departments}"
department_ring = "8s"
[media]
address = "127.0.0.1"
ports = "20000-29999"
allowed_networks = ["127.0.0.0/8"]
[log]
filter = "info"
[recording]
create_key = true
[sms]
host = "{sms_host}"
port = {sms_port}
system_id = "hotline"
password = "sandbox"
source = "106312345"
[sms.retry]
first_delay = "2s"
max_delay = "20s"
[[queue]]
name = "general"
ring_timeout = "12s"
wrap_up = "{wrap_up}ms"
announce_position = true
announce_every = "20s"
[[queue]]
name = "english"
ring_timeout = "12s"
wrap_up = "{wrap_up}ms"
skills = ["english"]
join_empty = "ready"
leave_empty = "ready"
[[agent]]
number = "{FIRST_AGENT}-{last}"
password = "{password}"
ready_on_register = true
[[user]]
name = "admin"
role = "admin"
password = "{admin}"
[[profile]]
name = "trunk"
kind = "trunk"
listen = ["udp:{trunk}"]
allow = ["127.0.0.0/8"]
auth = "none"
codecs = ["PCMA", "PCMU"]
[profile.limits]
max_calls = 10000
max_cps = 1000
transactions_per_peer = 800000
[[profile.number]]
match = ["12345"]
flow = "12345"
[[profile]]
name = "agents"
kind = "agents"
listen = ["udp:{registrar}"]
allow = ["127.0.0.0/8"]
auth = "digest"
algorithms = ["SHA-256", "MD5"]
realm = "hotline"
codecs = ["PCMA", "PCMU"]
[profile.limits]
max_calls = 10000
max_registrations = 20000
transactions_per_peer = 100000
"#,
        departments = wanted.departments,
        sms_host = wanted.sms.ip(),
        sms_port = wanted.sms.port(),
        admin = sample::password("admin"),
    );
    for (number, _) in HOTLINES {
        let _ =
            writeln!(text, "[[hotline]]\nnumber = \"{number}\"\nname = \"演练部门 {number}\"\nmode = \"dual_track\"");
    }
    text
}
