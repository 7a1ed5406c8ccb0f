//! What a running program cannot change: named, and kept as it is until the next start.

use super::{Profile, Transport, settings::Settings};
use std::net::SocketAddr;

/// Gives each listener of the profiles the transport of the socket that is open at its address: whoever talks over it
/// holds the address, so that no other can be opened there. Names what differs, as it is written.
pub fn keep_transports(profiles: &mut [Profile], streams: &[SocketAddr], tls: &[SocketAddr]) -> Vec<String> {
    let mut pending = Vec::new();
    for listener in profiles.iter_mut().flat_map(|profile| &mut profile.listen) {
        let (written, address) = (listener.transport, listener.address);
        let word = match written {
            Transport::Tcp => "tcp",
            Transport::Tls => "tls",
            Transport::Udp | Transport::Ws | Transport::Wss => continue,
        };
        if !streams.contains(&address) {
            continue;
        }
        let open = if tls.contains(&address) { Transport::Tls } else { Transport::Tcp };
        if open != written {
            pending.push(format!("listen \"{word}:{address}\""));
            listener.transport = open;
        }
    }
    pending
}

/// Gives the old value back to everything in `new` that takes effect only when the program starts; names what differs,
/// as it is written in `hotline.toml`.
pub fn keep_until_restart(old: &Settings, new: &mut Settings) -> Vec<&'static str> {
    let mut pending = Vec::new();
    macro_rules! keep {
        ($($name:literal: $($field:ident).+;)+) => {$(
            if old.$($field).+ != new.$($field).+ {
                pending.push($name);
                new.$($field).+ = old.$($field).+.clone();
            }
        )+};
    }
    keep! {
        "sandbox": sandbox;
        "node": node;
        "data": data_dir;
        "time_zone": time_zone;
        "[database] url": database_url;
        "[http] listen": http.listen;
        "[sip] external_address": sip.external_address;
        "[media] address": media.address;
        "[media] ports": media.ports;
        "[media] threads": media.threads;
        "[media] pin": media.pin;
        "[recording] enabled": recording.enabled;
        "[recording] dir": recording.dir;
        "[recording] key_file": recording.key_file;
        "[log] json": log.json;
    }
    new.calendars.zone = old.calendars.zone.clone();
    match (&old.sms, &mut new.sms) {
        (Some(old), Some(new)) => {
            let templates = std::mem::take(&mut new.templates);
            let mut kept = old.clone();
            kept.templates = std::mem::take(&mut new.templates);
            if kept != *new {
                pending.push("[sms]");
            }
            *new = super::SmsSettings { templates, ..old.clone() };
        }
        (None, None) => {}
        (old, new) => {
            pending.push("[sms]");
            new.clone_from(old);
        }
    }
    pending
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn settings(text: &str) -> Settings {
        Settings::parse(text, "hotline.toml", Path::new(".")).unwrap_or_else(|faults| panic!("{faults:#?}"))
    }

    const SMS: &str =
        "[sms]\nhost = \"127.0.0.1\"\nport = 2775\nsystem_id = \"a\"\npassword = \"b\"\nsource = \"106\"\n";

    #[test]
    fn an_address_keeps_its_transport_until_a_restart() {
        let text = "name = \"agents\"\nkind = \"agents\"\nallow = [\"127.0.0.0/8\"]\n\
                    listen = [\"udp:127.0.0.1:5070\", \"tls:127.0.0.1:5070\", \"tcp:127.0.0.1:5071\", \"tls:127.0.0.1:5072\"]\n";
        let mut profiles = vec![Profile::parse(text, "agents.toml").unwrap_or_else(|faults| panic!("{faults:#?}"))];
        let at = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let (streams, tls) = ([at(5070), at(5071)], [at(5071)]);
        let pending = keep_transports(&mut profiles, &streams, &tls);
        assert_eq!(pending, ["listen \"tls:127.0.0.1:5070\"", "listen \"tcp:127.0.0.1:5071\""]);
        let kept: Vec<_> = profiles[0].listen.iter().map(|listener| listener.transport).collect();
        assert_eq!(kept, [Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Tls]);
        assert!(keep_transports(&mut profiles, &streams, &tls).is_empty());
    }

    #[test]
    fn what_waits_for_a_restart_is_named_and_kept() {
        let old = settings(&format!("node = 1\n[http]\nlisten = [\"127.0.0.1:8080\"]\n{SMS}"));
        let text =
            "node = 2\ntime_zone = \"Asia/Urumqi\"\n[http]\nlisten = [\"127.0.0.1:8081\"]\n[api]\nmax_rate = 7\n";
        let text = format!("{text}{}signature = \"【热线】\"\n", SMS.replace("2775", "2776"));
        let mut new = settings(&text);
        assert_eq!(keep_until_restart(&old, &mut new), ["node", "time_zone", "[http] listen", "[sms]"]);
        assert_eq!((new.node, new.time_zone.as_str(), new.api.max_rate), (1, "Asia/Shanghai", 7));
        let sms = new.sms.clone().unwrap();
        assert_eq!((sms.port, sms.templates.signature.as_str()), (2775, "【热线】"));
        assert!(keep_until_restart(&old, &mut new).is_empty(), "the same again is nothing new");
        let mut none = settings("node = 1\n[http]\nlisten = [\"127.0.0.1:8080\"]\n");
        assert_eq!(keep_until_restart(&old, &mut none), ["[sms]"]);
        assert!(none.sms.is_some());
    }
}
