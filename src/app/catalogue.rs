//! Every figure of `/metrics`: its name, kind, labels and meaning. docs/metrics.md is made of it, and a test holds both
//! against what the program's code names.

use super::alarms::Alarm;

/// What a figure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// As it stands.
    Gauge,
    /// Times, in seconds, by the histogram's bounds.
    Times,
}

/// One figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// By what it is told apart: never a person or a call.
    pub labels: &'static [&'static str],
    /// What it means.
    pub help: &'static str,
}

const fn metric(kind: Kind, name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind, labels, help }
}

use Kind::{Counter, Gauge, Times};

/// All figures, by what they are about.
pub const METRICS: &[(&str, &[Metric])] = &[
    (
        "话务",
        &[
            metric(Counter, "hotline_calls_accepted_total", &[], "接受的来电:记录已交给暂存区,将以 200 应答"),
            metric(
                Counter,
                "hotline_calls_ended_total",
                &["whose", "what"],
                "结束的通话:谁造成的(caller、agent、department、carrier、us)和怎样结束的",
            ),
            metric(
                Counter,
                "hotline_calls_refused_total",
                &["status"],
                "未接入即拒绝的 INVITE,按 SIP 状态码;401 是正常的鉴权质询",
            ),
            metric(
                Counter,
                "hotline_calls_limited_total",
                &["profile", "limit"],
                "因 max_calls 或 max_cps 以 503 拒绝的来电",
            ),
            metric(Gauge, "hotline_calls_in_progress", &[], "进行中的通话"),
            metric(Gauge, "hotline_calls_by_state", &["state"], "进行中的通话,按状态"),
            metric(Times, "hotline_call_answer_seconds", &[], "从 INVITE 到 200 的时间"),
            metric(Counter, "hotline_callback_tries_total", &["outcome"], "回拨尝试,按结果"),
        ],
    ),
    (
        "排队",
        &[
            metric(Gauge, "hotline_queue_waiting", &["queue"], "排队等待的人数"),
            metric(Gauge, "hotline_queue_ringing", &["queue"], "正在为其振铃的人数"),
            metric(Gauge, "hotline_queue_longest_wait_seconds", &["queue"], "最长的等待"),
            metric(Times, "hotline_queue_wait_seconds", &["queue"], "从入队到话务员应答的时间"),
            metric(
                Gauge,
                "hotline_queue_agents",
                &["queue", "state"],
                "服务该队列的坐席:signed_in 签入,serving 示闲且可达,available 可立即分配",
            ),
            metric(
                Gauge,
                "hotline_queue_today",
                &["queue", "outcome"],
                "当日人次,零点清零:offered 来电,answered 接通,answered_within_sl 服务水平内接通,abandoned 放弃,overflowed 溢出",
            ),
        ],
    ),
    (
        "坐席",
        &[
            metric(Gauge, "hotline_agents", &["state"], "坐席,按状态"),
            metric(Gauge, "hotline_registered_telephones", &[], "已注册的话机"),
            metric(Counter, "hotline_registration_changes_total", &[], "话机注册与注销"),
            metric(Counter, "hotline_agent_log_dropped_total", &[], "没有记下的坐席状态变化:积压太多"),
        ],
    ),
    (
        "信令",
        &[
            metric(Counter, "hotline_sip_requests_total", &["method"], "收到的 SIP 请求,含重发"),
            metric(Counter, "hotline_sip_responses_total", &["class"], "收到的 SIP 响应,按状态码首位,含重发"),
            metric(Counter, "hotline_sip_responses_sent_total", &["class"], "发出的 SIP 响应,按状态码首位,含重发"),
            metric(Counter, "hotline_sip_sent_total", &[], "发出的 SIP 消息,含重发"),
            metric(Counter, "hotline_sip_retransmitted_total", &[], "重发的 SIP 消息"),
            metric(Counter, "hotline_sip_repeated_total", &[], "对方重发的请求"),
            metric(Counter, "hotline_sip_malformed_total", &[], "不合语法的 SIP 消息"),
            metric(Counter, "hotline_sip_dropped_total", &[], "不属于任何事务的消息:迟到的 ACK、没有问过的响应"),
            metric(Counter, "hotline_sip_overloaded_total", &[], "因总量到限以 503 拒绝的请求"),
            metric(Counter, "hotline_sip_throttled_total", &[], "因某一来源或某一对话到限以 503 拒绝的请求"),
            metric(Counter, "hotline_sip_strangers_total", &[], "来源不在 allow 中而丢弃的请求"),
            metric(Gauge, "hotline_sip_legs", &[], "SIP 对话(含尚未应答的)"),
            metric(Gauge, "hotline_sip_transactions", &[], "SIP 事务,含为应答重发而保留的"),
            metric(Gauge, "hotline_sip_connections", &[], "打开的 SIP 连接"),
            metric(Counter, "hotline_sip_connections_refused_total", &["why"], "拒绝的 SIP 连接"),
            metric(Counter, "hotline_sip_unframed_total", &[], "因无法分帧而关闭的 SIP 连接"),
            metric(Counter, "hotline_sip_tls_handshakes_failed_total", &["why"], "没有完成的 TLS 握手"),
            metric(
                Gauge,
                "hotline_certificate_not_after_seconds",
                &["profile"],
                "各接入配置的证书到期时刻,自 1970 年起的秒数",
            ),
            metric(Counter, "hotline_certificates_refused_total", &["profile"], "重新加载时因有错误而没有采用的证书"),
            metric(Counter, "hotline_switch_mailbox_overflow_total", &[], "交换线程信箱已满而拒绝的输入"),
        ],
    ),
    (
        "媒体",
        &[
            metric(Gauge, "hotline_media_legs", &[], "媒体路数(RTP 会话)"),
            metric(Counter, "hotline_rtp_received_total", &[], "收到的 RTP 包"),
            metric(Counter, "hotline_rtp_sent_total", &[], "发出的 RTP 包"),
            metric(Counter, "hotline_rtp_lost_total", &[], "没有收到的 RTP 包,按序号,话路结束时计入"),
            metric(Counter, "hotline_rtp_late_total", &[], "到得太晚、没有混入会议的 RTP 包"),
            metric(Counter, "hotline_rtp_foreign_total", &[], "来自他处而丢弃的数据包"),
            metric(Counter, "hotline_rtp_malformed_total", &[], "不是约定媒体的数据包"),
            metric(Counter, "hotline_rtp_send_errors_total", &[], "系统没有发出的 RTP 包"),
            metric(Counter, "hotline_rtp_peer_closed_total", &[], "对方端口已关闭而没有送达的 RTP 包"),
            metric(
                Counter,
                "hotline_rtp_one_way_total",
                &["whose"],
                "单通:十秒没有收到这一方的声音,而另一方的声音正常",
            ),
            metric(Gauge, "hotline_rtp_ports", &[], "RTP 端口总数"),
            metric(Gauge, "hotline_rtp_ports_free", &[], "空闲的 RTP 端口"),
            metric(Counter, "hotline_keys_held_back_total", &[], "来得比人按得快而忽略的按键"),
            metric(
                Counter,
                "hotline_media_refused_commands_total",
                &[],
                "媒体线程没有执行的命令;话路结束时的竞争,少量属正常",
            ),
            metric(Counter, "hotline_media_mailbox_overflow_total", &[], "媒体线程信箱已满而丢失的命令"),
            metric(Counter, "hotline_recordings_total", &[], "开始的录音"),
            metric(Counter, "hotline_recorded_seconds_total", &[], "写入的录音,秒"),
            metric(Counter, "hotline_recording_gaps_total", &[], "有缺口的录音"),
            metric(Counter, "hotline_recordings_shortened_total", &[], "没有写完的录音"),
            metric(Counter, "hotline_recordings_failed_total", &[], "因写入失败而中止或未能开始的录音"),
            metric(Counter, "hotline_recording_frames_lost_total", &[], "写入线程来不及而丢失的录音帧"),
            metric(Counter, "hotline_recording_sync_failures_total", &[], "录音没能同步到磁盘的次数"),
        ],
    ),
    (
        "工单与短信",
        &[
            metric(Gauge, "hotline_spool_backlog", &[], "暂存区中待写入数据库的通话及其结束"),
            metric(Gauge, "hotline_spool_oldest_seconds", &[], "其中最早一路已等待的时间"),
            metric(Gauge, "hotline_spool_stuck", &[], "数据库拒绝接收、留在暂存区的通话"),
            metric(Gauge, "hotline_spool_writable", &[], "暂存区能否写入磁盘:1 能,0 不能,新来电被拒绝"),
            metric(Counter, "hotline_spool_dropped_total", &[], "没有记下的中途快照"),
            metric(Times, "hotline_spool_commit_seconds", &[], "通话记录落盘的时间;200 等它"),
            metric(Times, "hotline_store_write_seconds", &[], "数据库写入的时间,含排队"),
            metric(Gauge, "hotline_sms_messages", &["state"], "短信,按状态;各状态之和即创建总数"),
            metric(Counter, "hotline_sms_moved_total", &["to"], "短信状态变化,按到达的状态"),
            metric(Gauge, "hotline_sms_bound", &[], "是否已连接短信中心"),
            metric(Counter, "hotline_sms_connects_total", &["outcome"], "连接短信中心的尝试"),
            metric(Counter, "hotline_sms_disconnects_total", &["why"], "与短信中心的断开"),
            metric(Gauge, "hotline_sms_outstanding", &[], "已提交、短信中心尚未应答的请求"),
            metric(Counter, "hotline_sms_parts_total", &["outcome"], "提交的短信分段,按结果"),
            metric(Counter, "hotline_sms_receipts_total", &["state"], "状态报告"),
            metric(Counter, "hotline_sms_receipts_unanswered_total", &[], "因积压而没有应答、等短信中心再送的状态报告"),
            metric(Counter, "hotline_sms_inbound_total", &[], "收到的上行短信"),
            metric(Counter, "hotline_sms_malformed_total", &[], "短信中心发来的、不合语法的数据"),
            metric(Counter, "hotline_sms_answers_lost_total", &[], "没有等到提交应答的分段,结果不明"),
            metric(Counter, "hotline_sms_resent_total", &[], "因结果不明而重发的分段"),
            metric(Counter, "hotline_sms_events_retried_total", &[], "等数据库恢复后才记下的短信事件"),
        ],
    ),
    (
        "系统",
        &[
            metric(Times, "hotline_http_request_seconds", &["method", "route", "status"], "接口请求的时间,按路由模板"),
            metric(Counter, "hotline_requests_limited_total", &[], "因 max_rate 以 429 拒绝的请求"),
            metric(Counter, "hotline_sign_in_failures_total", &[], "登录失败"),
            metric(Counter, "hotline_sign_in_locked_total", &[], "因多次失败而锁定的登录"),
            metric(Counter, "hotline_idempotency_replayed_total", &[], "以第一次的结果应答的重复请求"),
            metric(Counter, "hotline_housekeeping_removed_total", &["what"], "每小时清理的旧数据行"),
            metric(Counter, "hotline_housekeeping_failures_total", &[], "没有完成的清理"),
            metric(Counter, "hotline_log_held_back_total", &[], "因来得太密而没有写的日志行"),
            metric(
                Counter,
                "hotline_log_numbers_struck_total",
                &[],
                "在写日志的最后一步才抹去的电话号码;大于零说明有代码没有遮盖号码",
            ),
            metric(Gauge, "hotline_settings_fault", &[], "新配置有错误而没有生效:1 是,0 否"),
            metric(Counter, "hotline_settings_reload_total", &["result"], "重新加载配置,按结果"),
            metric(Gauge, "hotline_tasks", &[], "没有结束的异步任务;远多于连接和进行中的工作即为泄漏"),
            metric(Gauge, "hotline_build_info", &["version"], "程序版本;值恒为 1"),
            metric(Gauge, "hotline_start_time_seconds", &[], "启动时刻,自 1970 年起的秒数"),
            metric(Gauge, "hotline_process_resident_bytes", &[], "占用的内存"),
            metric(Gauge, "hotline_process_open_files", &[], "打开的文件,含套接字"),
            metric(Gauge, "hotline_process_max_files", &[], "可打开的文件数上限"),
            metric(Gauge, "hotline_process_threads", &[], "线程数"),
            metric(Counter, "hotline_process_cpu_milliseconds_total", &[], "用去的处理器时间,毫秒"),
            metric(Gauge, "hotline_disk_free_bytes", &["disk"], "磁盘可用空间"),
            metric(Gauge, "hotline_disk_size_bytes", &["disk"], "磁盘大小"),
            metric(Gauge, "hotline_clock_synchronised", &[], "系统时钟是否与时间源同步"),
            metric(Gauge, "hotline_clock_offset_seconds", &[], "系统时钟的偏差;未同步时为 0"),
        ],
    ),
    (
        "告警",
        &[
            metric(Gauge, "hotline_alarm", &["alarm"], "告警是否存在;编码见文末"),
            metric(Gauge, "hotline_alarm_critical", &["alarm"], "告警是否为严重级"),
        ],
    ),
];

/// Every figure.
pub fn all() -> impl Iterator<Item = &'static Metric> {
    METRICS.iter().flat_map(|(_, metrics)| *metrics)
}

/// Tells the recorder what each figure means; call it once the recorder is set.
pub fn describe() {
    for metric in all() {
        match metric.kind {
            Kind::Counter => metrics::describe_counter!(metric.name, metric.help),
            Kind::Gauge => metrics::describe_gauge!(metric.name, metric.help),
            Kind::Times => metrics::describe_histogram!(metric.name, metric.help),
        }
    }
}

/// docs/metrics.md.
pub fn document() -> String {
    let mut text = String::from(
        "# 指标\n\n`/metrics` 以 Prometheus 文本格式给出下列指标。名称以 `hotline_` 开头;计数器以 `_total` 结尾,时间以 `_seconds` \
         结尾,直方图另有 `_bucket`、`_sum`、`_count`。标签的取值有限,从不含主叫号码或通话编号。没有发生过的事没有对应的行。\n\n\
         本表由 src/app/catalogue.rs 生成。大屏见 deploy/grafana/hotline.json,告警规则见 \
         deploy/prometheus/hotline-rules.yml。\n",
    );
    for (title, metrics) in METRICS {
        text += &format!("\n## {title}\n| 名称 | 类型 | 标签 | 含义 |\n|---|---|---|---|\n");
        for metric in *metrics {
            let kind = match metric.kind {
                Kind::Counter => "计数器",
                Kind::Gauge => "瞬时值",
                Kind::Times => "直方图",
            };
            text += &format!("| `{}` | {kind} | {} | {} |\n", metric.name, metric.labels.join("、"), metric.help);
        }
    }
    text += "\n## 告警编码\n`GET /api/v1/alarms` 列出存在的告警(班长和管理员可见),`/readyz` 和实时页面同样显示;阈值在 `[alarms]` 中设置。\n\n\
             | 编码 | 名称 | 怎么办 |\n|---|---|---|\n";
    for alarm in Alarm::ALL {
        text += &format!("| `{}` | {} | {} |\n", alarm.code(), alarm.title(), alarm.advice());
    }
    text
}
