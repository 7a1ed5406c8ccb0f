//! Whether everything that new work needs is there, each part by itself.

use super::{App, alarms::AlarmView};
use crate::net::host;
use serde::Serialize;
use std::time::Duration;
use utoipa::ToSchema;

/// How long the database may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// One part.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Part {
    /// Whether it works as it should.
    pub ok: bool,
    /// How it stands, in words.
    pub detail: String,
}

/// What `/readyz` says.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Readiness {
    /// Whether new work may be sent here; intake, database and spool alone decide.
    pub ready: bool,
    /// Whether new calls are taken: not while the program ends.
    pub intake: Part,
    /// Whether the database answers within two seconds.
    pub database: Part,
    /// Calls that the database does not have yet.
    pub spool: Part,
    /// Whether the SMS centre is connected; true where none is configured.
    pub sms: Part,
    /// Whether the holidays are known by which due times are computed.
    pub calendar: Part,
    /// The clock's offset from true time where the system knows it.
    pub clock: Part,
    /// Whether what is written in the settings is in force.
    pub settings: Part,
    /// The alarms that stand, the worst first; none of them takes the node out by itself.
    pub alarms: Vec<AlarmView>,
}

impl App {
    /// Asks each part. Calls go on without the database; the API does not.
    pub async fn readiness(&self) -> Readiness {
        let database = match tokio::time::timeout(PATIENCE, self.store.ping()).await {
            // Until then nobody can sign in whom the settings name.
            Ok(Ok(())) if self.is_without_database() => {
                Part { ok: false, detail: "刚连接上,正在写入用户和配置".to_owned() }
            }
            Ok(Ok(())) => Part { ok: true, detail: "可用".to_owned() },
            Ok(Err(error)) => Part { ok: false, detail: format!("不可用:{error}") },
            Err(_) => Part { ok: false, detail: format!("{} 秒内没有应答", PATIENCE.as_secs()) },
        };
        let backlog = self.spool.backlog();
        let spool = match self.spool.trouble() {
            None => Part { ok: true, detail: format!("{backlog} 条待写入数据库") },
            // New calls are refused with 503 for as long: they are better sent to another node.
            Some(why) => Part { ok: false, detail: format!("写不进磁盘,新来电将被拒绝:{why}") },
        };
        let sms = match self.sms.get() {
            None => Part { ok: true, detail: "未配置".to_owned() },
            Some(gateway) if gateway.is_bound() => Part { ok: true, detail: "已连接短信中心".to_owned() },
            // Messages wait and are sent later: no reason to take the node out.
            Some(_) => Part { ok: false, detail: "短信中心未连接,短信将在恢复后发送".to_owned() },
        };
        let intake = match self.is_draining() {
            false => Part { ok: true, detail: "接新来电".to_owned() },
            true => Part {
                ok: false, detail: format!("正在停机,不接新来电,还有 {} 个通话", self.calls_in_progress())
            },
        };
        let clock = clock_offset();
        let calendar = match super::calendar::alarm(&self.in_force().rules, self.wall()) {
            None => Part { ok: true, detail: "节假日安排齐全".to_owned() },
            Some(detail) => Part { ok: false, detail },
        };
        let settings = self.settings_part();
        let alarms = self.alarms_standing();
        Readiness {
            ready: database.ok && spool.ok && intake.ok,
            intake,
            database,
            spool,
            sms,
            calendar,
            clock,
            settings,
            alarms,
        }
    }
}

impl App {
    /// A fault in the files leaves what runs as it is: no reason to take the node out of service.
    fn settings_part(&self) -> Part {
        let standings = self.standings();
        let faults = standings.all_faults();
        match (faults.first(), standings.pending.as_slice()) {
            (Some(first), _) => {
                let count = faults.len();
                Part { ok: false, detail: format!("配置有 {count} 个错误,仍按原配置运行:{first}") }
            }
            (None, []) => Part { ok: true, detail: "已生效".to_owned() },
            (None, pending) => Part { ok: true, detail: format!("已生效;重启后生效:{}", pending.join("、")) },
        }
    }
}

/// The clock's offset in words. How far it may be off is for its alarm to say.
fn clock_offset() -> Part {
    let detail = match host::clock_offset() {
        Some(offset) => format!("偏差 {:.3} 毫秒", offset * 1e3),
        None => "系统时钟未与时间源同步,偏差未知".to_owned(),
    };
    Part { ok: true, detail }
}
