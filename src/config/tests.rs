//! The loader against whole folders: shipped files are clean, and faults come out with file and line.

use super::*;
use crate::{
    clock::UnixMillis,
    ivr::{Caller, Fault, Flow},
};
use std::{
    net::UdpSocket,
    path::{Path, PathBuf},
};

/// 2026-11-25T00:00:00Z.
const NOW: UnixMillis = UnixMillis(1_795_564_800_000);

/// What is found where no program runs.
fn check(path: Option<&Path>, data_dir: &Path, now: UnixMillis) -> (Report, Option<Settings>) {
    super::check(path, data_dir, now, |_| false)
}

/// A folder of its own for one test, removed afterwards.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("hotline-config-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[track_caller]
fn assert_found(found: &[Fault], file: &str, line: u32, what: &str) {
    let hit = |f: &&Fault| f.file.ends_with(file) && f.line == line && f.to_string().contains(what);
    assert!(found.iter().any(|f| hit(&f)), "{file}:{line}: {what}: not in {found:#?}");
}

#[test]
fn the_sandbox_is_sound() {
    let configuration = load(None, Path::new("data")).unwrap_or_else(|report| panic!("{report}"));
    assert_eq!(configuration.warnings, []);
    let trunk = configuration.profile(ProfileKind::Trunk).unwrap();
    assert_eq!(trunk.listen.len(), 2);
    assert_eq!(trunk.listen[0].address, "127.0.0.1:5060".parse().unwrap());
    for number in ["12345", "12319"] {
        let route = trunk.route(number).unwrap();
        assert_eq!((&route.target, route.ticket, route.cdr), (&Target::Flow("12345".into()), true, true));
    }
    assert_eq!(trunk.route("12346"), None);
    assert_eq!(trunk.limits.transactions_per_peer, 800_000);
    let agents = configuration.profile(ProfileKind::Agents).unwrap();
    assert_eq!(agents.algorithms, [DigestAlgorithm::Sha256, DigestAlgorithm::Md5]);
    assert_eq!(agents.limits.transactions_per_peer, 10_000);
    assert_eq!((agents.auth, agents.listen[0].address.port()), (Auth::Digest, 5070));
    assert!(configuration.profile(ProfileKind::Browser).is_none(), "not served yet");
    assert!(configuration.flows.contains_key("12345") && configuration.flows.contains_key("menu_main"));
}

#[test]
fn the_load_profile_is_sound() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/load.toml");
    let configuration = load(Some(&path), Path::new("data")).unwrap_or_else(|report| panic!("{report}"));
    let trunk = configuration.profile(ProfileKind::Trunk).unwrap();
    let route = |number| trunk.route(number).map(|route| (route.target.clone(), route.ticket, route.cdr));
    let bridge = |recorded| Target::Bridge { to: "sip:callee@127.0.0.1:5090".into(), recorded };
    assert_eq!(route("100"), Some((Target::Hold, true, true)));
    assert_eq!(route("101"), Some((Target::Hold, false, false)));
    assert_eq!(route("110"), Some((Target::PlayLoop("prompts/zh/welcome.wav".into()), true, true)));
    assert_eq!(route("120"), Some((bridge(false), true, true)));
    assert_eq!(route("121"), Some((bridge(true), true, true)));
    assert_eq!(route("130000"), Some((Target::Room, true, true)));
    assert_eq!(route("139999"), Some((Target::Room, true, true)));
    assert_eq!(route("141"), Some((Target::Queue("load".into()), true, true)));
    // INVITE and BYE of 6,000 calls a second, all from one address, each remembered for 32 s.
    assert!(trunk.limits.transactions_per_peer > 2 * 32 * 6_000);
    assert_eq!(route("12345"), None);
    let agents = configuration.profile(ProfileKind::Agents).unwrap();
    assert_eq!(agents.algorithms[0], DigestAlgorithm::Md5);
    let settings = &configuration.settings;
    assert_eq!((settings.agents.len(), settings.sms.is_none(), settings.sandbox), (200, true, false));
    assert!(settings.agents.iter().all(|agent| agent.ready_on_register && agent.sign_in_on_register));
    assert_eq!(settings.agents[199].password.expose(), "sandbox-8200");
    assert!(settings.queues[0].wrap_up.is_zero());
}

#[test]
fn every_fault_of_the_settings_at_once() {
    let folder = Folder::new("settings");
    let path = folder.write(
        "hotline.toml",
        r#"time_zone = "Asia/Shanghi"
node = 4096
colour = "red"
[database]
url = "mysql://x"
[http]
listen = ["127.0.0.1"]
[media]
ports = "30000-20000"
allowed_networks = ["10.0.0.0/33"]
[[queue]]
name = "general"
strategy = "longest-idle"
ring_timeout = 25
wrapup = "5s"
[[queue]]
name = "general"
sticky_agent = "30d"
[[agent]]
number = "8001-8003"
password = "env:HOTLINE_TEST_NOT_SET"
[[agent]]
number = "80XX"
password = "x"
[[user]]
name = "u"
role = "dispacher"
password = "x"
[[hotline]]
number = "12330"
[sms]
host = "h"
system_id = "s"
password = "too long for it"
source = "1"
signature = "12345"
[sms.templates]
accepted = "已受理{ticket_no}"
result = "工单{no}已办结"
[[calendar]]
name = "office"
open = ["mon-fri 8-12"]
holidays = ["2026-13-01"]
"#,
    );
    let (report, _) = check(Some(&path), &folder.0, NOW);
    for (line, what) in [
        (1, "did"),
        (2, "`node` = 4096 is out of range"),
        (3, "unknown key `colour`"),
        (5, "no known kind"),
        (7, "\"127.0.0.1\" is no address"),
        (9, "not a range of ports"),
        (10, "not a network"),
        (13, "did you mean \"longest_idle\"?"),
        (14, "write a time with its unit"),
        (15, "did you mean `wrap_up`?"),
        (18, "`sticky_agent` is not supported yet"),
        (17, "queue \"general\" is there twice"),
        (21, "environment variable HOTLINE_TEST_NOT_SET is not set"),
        (23, "not an agent number"),
        (27, "did you mean \"dispatcher\"?"),
        (29, "`name` is missing"),
        (34, "too long for SMPP"),
        (36, "the signature"),
        (38, "no message is sent for `accepted`"),
        (39, "unknown placeholder {no}"),
        (42, "are no opening hours"),
        (43, "is no date"),
    ] {
        let what = if line == 1 { "no time zone" } else { what };
        assert_found(&report.faults, "hotline.toml", line, what);
    }
    let shown = report.to_string();
    assert!(shown.contains("hotline.toml:3:1: unknown key `colour` — "), "{shown}");
    assert!(shown.contains("个错误"), "{shown}");
    assert!(!shown.contains("too long for it"), "no secret is printed");
}

#[test]
fn files_beside_the_configuration_are_checked() {
    let folder = Folder::new("beside");
    let path = folder.write(
        "hotline.toml",
        "[recording]\nkey_file = \"none.key\"\n[[queue]]\nname = \"general\"\nmusic = \"prompts/none.wav\"\n",
    );
    folder.write(
        "sip-profiles/trunk.toml",
        r#"name = "trunk"
kind = "trunk"
listen = ["udp:127.0.0.1:5060", "sctp:127.0.0.1:5060", "tls:127.0.0.1:5061"]
allow = ["127.0.0.0/8"]
codecs = ["PCMA", "G729"]
[[number]]
match = "12345"
flow = "1234"
[[number]]
match = "1x"
queue = "generel"
hold = true
"#,
    );
    folder.write("ivr-flows/12345.toml", "version = 1\nstart = \"a\"\n[node.a]\nqueue = \"genral\"\n");
    folder.write("ivr-flows/broken.toml", "version = \n");
    folder.write("ivr-flows/prompts/zh/welcome.wav", "no wav");
    let faults = check(Some(&path), &folder.0, NOW).0.faults;
    assert_found(&faults, "none.key", 0, "openssl rand");
    assert_found(&faults, "hotline.toml", 4, "prompt \"prompts/none.wav\" is missing");
    assert_found(&faults, "sip-profiles/trunk.toml", 3, "\"sctp:127.0.0.1:5060\" is no place to listen");
    assert_found(&faults, "sip-profiles/trunk.toml", 5, "codec \"G729\" is not supported");
    assert_found(&faults, "sip-profiles/trunk.toml", 10, "is no number pattern");
    assert_found(&faults, "sip-profiles/trunk.toml", 9, "leads to two places");
    assert_found(&faults, "ivr-flows/12345.toml", 4, "did you mean \"general\"?");
    assert_found(&faults, "ivr-flows/broken.toml", 1, "correct the TOML here");
    assert_found(&faults, "prompts/zh/welcome.wav", 0, "cannot be played");
    assert!(load(Some(&path), &folder.0).is_err());

    // Once the profile can be read, its references are judged.
    folder.write(
        "sip-profiles/trunk.toml",
        r#"name = "trunk"
kind = "trunk"
listen = ["udp:0.0.0.0:5060", "tls:127.0.0.1:5061"]
allow = ["127.0.0.0/8"]
[[number]]
match = "12345"
flow = "1234"
[[number]]
match = "110"
play_loop = "prompts/zh/none.wav"
"#,
    );
    let faults = check(Some(&path), &folder.0, NOW).0.faults;
    assert_found(&faults, "sip-profiles/trunk.toml", 5, "did you mean \"12345\"?");
    assert_found(&faults, "sip-profiles/trunk.toml", 8, "prompt \"prompts/zh/none.wav\" is missing");
    assert_found(&faults, "sip-profiles/trunk.toml", 3, "TLS needs a certificate");
}

#[test]
fn a_missing_file_and_text_that_is_no_utf8() {
    let folder = Folder::new("missing");
    let (report, _) = check(Some(&folder.0.join("none.toml")), &folder.0, NOW);
    assert_found(&report.faults, "none.toml", 0, "cannot be read");
    let path = folder.0.join("gbk.toml");
    std::fs::write(&path, b"node = 1\n# \xc4\xe3\xba\xc3\n").unwrap();
    assert_found(&check(Some(&path), &folder.0, NOW).0.faults, "gbk.toml", 2, "is not UTF-8");
}

#[test]
fn guessed_passwords_stay_on_loopback() {
    let folder = Folder::new("outside");
    let text = |address: &str| {
        format!(
            r#"[recording]
create_key = true
[[queue]]
name = "general"
[[agent]]
number = "8001-8002"
password = "x-{{number}}"
[[profile]]
name = "agents"
kind = "agents"
listen = ["udp:{address}:0"]
allow = ["10.0.0.0/8"]
"#
        )
    };
    let path = folder.write("hotline.toml", &text("0.0.0.0"));
    let report = load(Some(&path), &folder.0).unwrap_err();
    assert!(report.to_string().contains("the password of agent 8001"), "{report}");
    assert!(!report.to_string().contains("x-8001"));
    let path = folder.write("hotline.toml", &text("127.0.0.1"));
    assert!(load(Some(&path), &folder.0).is_ok());
}

#[test]
fn a_port_in_use_is_named() {
    let folder = Folder::new("port");
    let holder = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = holder.local_addr().unwrap().port();
    let path = folder.write(
        "hotline.toml",
        &format!(
            r#"[recording]
create_key = true
[http]
listen = ["127.0.0.1:0"]
[[queue]]
name = "general"
[[profile]]
name = "trunk"
kind = "trunk"
listen = ["udp:127.0.0.1:{port}"]
allow = ["127.0.0.0/8"]
"#
        ),
    );
    let (report, _) = check(Some(&path), &folder.0, NOW);
    assert_eq!(report.faults.len(), 1, "{report}");
    assert_found(&report.faults, "hotline.toml", 10, &format!("port {port}/udp on 127.0.0.1 is in use"));
    assert!(report.faults[0].fix.contains("ss -ulnp"));
    let (report, _) = super::check(Some(&path), &folder.0, NOW, |folder| folder.ends_with("data"));
    assert!(report.is_ok(), "it is the port of the program that runs: {report}");
    drop(holder);
    assert!(check(Some(&path), &folder.0, NOW).0.is_ok());
}

#[test]
fn the_flow_commands() {
    let data = Path::new("data");
    let (told, ok) = cmd_flow_check(None, data, None);
    assert!(ok, "{told}");
    let (told, ok) = cmd_flow_check(None, data, Some("1234"));
    assert!(!ok && told.contains("there is no such flow"), "{told}");
    assert!(cmd_flow_graph(None, data, "12345", false).unwrap().starts_with("flowchart"));
    assert!(cmd_flow_graph(None, data, "12345", true).unwrap().starts_with("<svg"));
    assert!(cmd_flow_graph(None, data, "none", true).is_err());
    #[allow(clippy::disallowed_methods, reason = "tests may ask the clock")]
    let now = crate::clock::Now { mono: std::time::Instant::now(), wall: crate::clock::UnixMillis(0) };
    let told = cmd_flow_simulate(None, data, "12345", "9,0", Caller::default(), now).unwrap();
    assert!(told.contains("key 9") && told.contains("queue \"english\" (at most 30 s, then queue:general)"), "{told}");
}

/// A configuration that has no queue for English may use the shipped flow: the branch for that case makes it a warning.
#[test]
fn the_shipped_flow_needs_no_english_queue() {
    let mut settings = Settings::sandbox(Path::new("data"));
    settings.queues.retain(|queue| queue.name.as_str() == "general");
    let assets = Assets::default();
    let text = String::from_utf8(assets.read("ivr-flows/12345.toml").unwrap().into_owned()).unwrap();
    let found = check::check_flow(&Flow::parse(&text, "12345.toml").unwrap(), &settings, &assets);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].is_warning() && found[0].what.contains("english"), "{found:?}");
}

#[test]
fn rtp_ports_that_are_all_in_use_are_named() {
    let folder = Folder::new("rtp");
    let mut configuration = load(None, &folder.0).unwrap();
    let of_rtp = |configuration: &Configuration| {
        let faults = port_faults(Some(&configuration.settings), &configuration.profiles, false)
            .into_iter()
            .map(|fault| fault.to_string());
        faults.filter(|fault| fault.contains("RTP")).collect::<Vec<_>>()
    };
    // An even port and the one above it, whichever the system has free.
    let (first, held) = (0..1_000)
        .find_map(|_| {
            let even = UdpSocket::bind("127.0.0.1:0").ok()?;
            let port = even.local_addr().ok()?.port();
            let odd = UdpSocket::bind(("127.0.0.1", port.checked_add(1)?)).ok()?;
            port.is_multiple_of(2).then_some((port, (even, odd)))
        })
        .expect("two free ports");
    configuration.settings.media.ports = first..=first + 1;
    let faults = of_rtp(&configuration);
    assert!(faults.len() == 1 && faults[0].contains(&format!("{first}-{}", first + 1)), "{faults:?}");
    assert!(faults[0].contains("[media] ports"), "{faults:?}");
    drop(held);
    assert_eq!(of_rtp(&configuration), Vec::<String>::new());
}

#[test]
fn a_data_folder_that_cannot_be_and_a_faulty_flow_are_said_once() {
    let folder = Folder::new("data-folder");
    let settings = "data = \"taken\"\n[recording]\ncreate_key = true\n[[queue]]\nname = \"general\"\n\
                    [[profile]]\nname = \"trunk\"\nkind = \"trunk\"\nlisten = [\"udp:127.0.0.1:5060\"]\nallow = [\"127.0.0.0/8\"]\n\
                    [[profile.number]]\nmatch = [\"12345\"]\nflow = \"mine\"\n";
    let path = folder.write("hotline.toml", settings);
    folder.write(
        "ivr-flows/mine.toml",
        "version = 1\nstart = \"a\"\n[node.a]\nplay = [\"prompts/zh/welcome.wav\"]\nnext = \"nowhere\"\n",
    );
    folder.write("taken", "a file");
    let faults = load(Some(&path), &folder.0).unwrap_err().faults;
    assert_found(&faults, "hotline.toml", 0, "data folder");
    assert_found(&faults, "mine.toml", 5, "nowhere");
    let followed = faults.iter().filter(|f| f.to_string().contains("no flow") || f.to_string().contains("key"));
    assert_eq!(followed.count(), 0, "{faults:#?}");
}

#[test]
fn a_certificate_is_named_with_its_file() {
    let folder = Folder::new("tls");
    let text = r#"
[recording]
create_key = true
[http]
listen = ["127.0.0.1:0"]
[[queue]]
name = "general"
[[profile]]
name = "agents"
kind = "agents"
listen = ["tls:127.0.0.1:0"]
allow = ["127.0.0.0/8"]
[profile.tls]
certificate = "own.pem"
key = "own.key"
"#;
    let path = folder.write("hotline.toml", text);
    let (report, _) = check(Some(&path), &folder.0, NOW);
    assert_eq!(report.faults.len(), 1, "{report}");
    assert_found(&report.faults, "own.pem", 0, "cannot be read");
    let own = TlsFiles { certificate: folder.0.join("own.pem"), key: folder.0.join("own.key"), create: true };
    own.make(NOW).unwrap();
    let (report, _) = check(Some(&path), &folder.0, NOW);
    assert!(report.is_ok() && report.warnings.is_empty(), "{report}");
    // Its end is a warning while it is near, and a fault of the check once it is over: the program starts all the same.
    let later = |days: u64| NOW.plus(std::time::Duration::from_secs(days * 86_400));
    assert_found(&check(Some(&path), &folder.0, later(350)).0.warnings, "own.pem", 0, "即将过期");
    assert_found(&check(Some(&path), &folder.0, later(370)).0.faults, "own.pem", 0, "证书已过期");
    assert!(load(Some(&path), &folder.0).is_ok());
    // The settings' own serves profiles that have none; in a profile's place it is taken from the same folder.
    let shared = text.replace("[profile.tls]\ncertificate = \"own.pem\"\nkey = \"own.key\"\n", "");
    let path = folder.write("hotline.toml", &shared);
    assert_found(&check(Some(&path), &folder.0, NOW).0.faults, "hotline.toml", 11, "TLS needs a certificate");
    let path = folder.write("hotline.toml", &format!("[tls]\ncertificate = \"own.pem\"\n{shared}"));
    assert_found(&check(Some(&path), &folder.0, NOW).0.faults, "hotline.toml", 1, "key");
    let path = folder.write("hotline.toml", &format!("[tls]\ncertificate = \"own.pem\"\nkey = \"own.key\"\n{shared}"));
    assert!(check(Some(&path), &folder.0, NOW).0.is_ok());
}

#[test]
fn what_operators_begin_with_is_sound() {
    let folder = Folder::new("deploy");
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy");
    let here = |text: &str| {
        text.replace("192.0.2.10", "127.0.0.1")
            .replace("/var/lib/hotline", &folder.0.join("data").display().to_string())
    };
    let sample = |name: &str| std::fs::read_to_string(deploy.join(name)).unwrap();
    let path = folder.write("hotline.toml", &here(&sample("hotline.toml")));
    for name in ["sip-profiles/agents.toml", "sip-profiles/trunk.toml"] {
        folder.write(name, &here(&sample(name)));
    }
    // What the guide has made by hand.
    let secret = |name: &str, text: &str| {
        let path = folder.write(name, text);
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o640)).unwrap();
    };
    secret("keys/recording.key", &"0f".repeat(32));
    secret("secrets/agent-8001", "a long one\n");
    secret("secrets/user-admin", "another one\n");
    let files =
        TlsFiles { certificate: folder.0.join("tls/hotline.pem"), key: folder.0.join("tls/hotline.key"), create: true };
    files.make(NOW).unwrap();
    let configuration = load(Some(&path), &folder.0).unwrap_or_else(|report| panic!("{report}"));
    assert_eq!(configuration.warnings, []);
    let kinds: Vec<_> = configuration.profiles.iter().map(|profile| (profile.kind, profile.listen.len())).collect();
    assert_eq!(kinds, [(ProfileKind::Agents, 1), (ProfileKind::Trunk, 2)]);
    // Telephones in the clear off loopback are warned of.
    let plain = sample("sip-profiles/agents.toml").replace("tls:192.0.2.10:5061", "udp:192.0.2.10:5070");
    folder.write("sip-profiles/agents.toml", &plain);
    let warnings = load(Some(&path), &folder.0).unwrap_or_else(|report| panic!("{report}")).warnings;
    assert_found(&warnings, "sip-profiles/agents.toml", 4, "信令未加密");
}
