//! `hotline check`: the configuration with everything that it refers to, the ports and the database included.

use super::{calendar, staff};
use crate::{
    clock::UnixMillis,
    config::{self, Report, Settings},
    ivr::{Fault, Place},
    store::{DataFolder, DatabaseUse, Probe, Store},
};
use std::{path::Path, time::Duration};

/// How long the database may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Everything that would keep the program from starting, or that is to be put right. Nothing is written anywhere.
pub async fn check(path: Option<&Path>, data_dir: &Path, now: UnixMillis) -> Report {
    let (mut report, settings) = config::check(path, data_dir, now, DataFolder::is_in_use);
    if let Some(settings) = settings {
        report.faults.extend(database_faults(&settings).await);
        report.warnings.extend(calendar::warning(&settings, now));
    }
    report
}

async fn database_faults(settings: &Settings) -> Vec<Fault> {
    let probing = Store::probe(settings.database_url.expose(), DatabaseUse::of(settings.sandbox));
    let (what, fix) = match tokio::time::timeout(PATIENCE, probing).await {
        Ok(Ok(Probe::Ready(kept))) => return staff::clashes(settings, &kept),
        Ok(Ok(Probe::ToBeMade)) => return Vec::new(),
        Ok(Err(error)) => (format!("the database cannot be used (数据库不可用): {error}"), "see [database] url"),
        Err(_) => (
            format!("the database did not answer in {} s (数据库没有应答)", PATIENCE.as_secs()),
            "see whether it runs and can be reached from here",
        ),
    };
    vec![Fault::new(&settings.file, Place::default(), what, fix)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{app::setup, net::clock};
    use std::{fmt::Write, path::PathBuf};

    /// A folder with a configuration that has every role, strategy and staffing.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("hotline-check-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Folder(path)
        }

        fn write(&self, text: &str) -> PathBuf {
            let path = self.0.join("hotline.toml");
            std::fs::write(&path, text).unwrap();
            path
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn everything(sandbox: bool) -> String {
        let mut text = format!(
            "sandbox = {sandbox}\n[recording]\ncreate_key = true\n[media]\nports = \"41000-41099\"\nallowed_networks = [\"127.0.0.0/8\"]\n[http]\nlisten = [\"127.0.0.1:0\"]\n"
        );
        for role in crate::ticket::Role::ALL.into_iter().filter(|role| *role != crate::ticket::Role::System) {
            let name = role.name();
            let _ = writeln!(text, "[[user]]\nname = \"{name}\"\nrole = \"{name}\"\nunit = \"u\"\npassword = \"p\"");
        }
        for strategy in ["longest_idle", "round_robin", "least_calls", "least_talk_time", "top_down", "random"] {
            for staffing in ["nobody", "signed_in", "ready"] {
                let _ = writeln!(
                    text,
                    "[[queue]]\nname = \"{strategy}-{staffing}\"\nstrategy = \"{strategy}\"\njoin_empty = \"{staffing}\"\nleave_empty = \"{staffing}\""
                );
            }
        }
        text += "[[profile]]\nname = \"trunk\"\nkind = \"trunk\"\nlisten = [\"udp:127.0.0.1:0\", \"tcp:127.0.0.1:0\"]\nallow = [\"127.0.0.0/8\"]\n";
        text + "[[profile.number]]\nmatch = \"12345\"\nqueue = \"random-ready\"\n"
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_check_accepts_also_starts() {
        let folder = Folder::new("all");
        let path = folder.write(&everything(false));
        let now = clock::now().wall;
        let report = check(Some(&path), &folder.0, now).await;
        assert!(report.is_ok(), "{report}");
        let configuration = config::load(Some(&path), &folder.0).unwrap_or_else(|report| panic!("{report}"));
        let store = setup::open_store(&configuration.settings).await.unwrap();
        let app =
            setup::start(configuration, store, crate::app::reload::Source::new(Some(path.clone()), PathBuf::new()))
                .await
                .unwrap_or_else(|error| panic!("{error:#}"));
        assert_eq!(app.store.user_list().await.unwrap().len(), 13);
        // A database that is in use is read beside the program.
        let report = check(Some(&path), &folder.0, now).await;
        assert!(report.is_ok(), "{report}");
        app.stop().await;

        // The same database with public passwords.
        let path = folder.write(&everything(true));
        let report = check(Some(&path), &folder.0, now).await;
        assert_eq!(report.faults.len(), 1, "{report}");
        assert!(report.to_string().contains("正式数据库"), "{report}");
    }

    #[tokio::test]
    async fn a_database_that_is_none_is_named_beside_the_other_faults() {
        let folder = Folder::new("none");
        std::fs::write(folder.0.join("text.db"), "no database at all, but a text of some length").unwrap();
        let path = folder.write(&format!(
            "[database]\nurl = \"sqlite:{}/text.db\"\n[recording]\nenabled = false\n[[hotline]]\nnumber = \"12330\"\nname = \"a\"\n",
            folder.0.display()
        ));
        let report = check(Some(&path), &folder.0, clock::now().wall).await.to_string();
        assert!(report.contains("the database cannot be used"), "{report}");
        assert!(report.contains("hotline 12330 cannot be reached"), "{report}");
    }
}
