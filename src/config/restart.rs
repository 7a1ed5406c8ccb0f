//! What a running program cannot change: named, and kept as it is until the next start.

use super::settings::Settings;

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
