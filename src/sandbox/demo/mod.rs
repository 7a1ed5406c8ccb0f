//! The story of `hotline demo`: one citizen's matter from the first ring to the last SMS, over real SIP, RTP and HTTP.
//!
//! Every party is a simulated person who knows no more than what its telephone and its console tell. The story is
//! printed as it happens, then what was checked with the figures that were measured. It is true only when every step
//! came about in its time and every check holds.

mod api;
mod paper;
mod phone;
mod recording;
mod story;
mod tones;

pub use story::{Check, Story};
pub use tones::Tones;

use super::{
    departments::{Clips, Departments},
    http_client::HttpError,
    ua::UaError,
};
use crate::net::clock;
use std::{fmt, future::Future, io::Write, net::SocketAddr, str::FromStr, sync::Arc, time::Duration};
use tokio::time::timeout;

/// What the demo needs of the simulated SMS centre.
pub trait SmsCentre: Send + Sync {
    /// All messages that it took so far: the receiver and the whole text.
    fn messages(&self) -> Vec<(String, String)>;
    /// From now on no message reaches its telephone; its receipts say so.
    fn lose_messages(&self);
}

/// Where everything is, and who plays.
pub struct DemoConfig {
    /// Such as `http://127.0.0.1:8080/api/v1`.
    pub base_url: String,
    /// Where the carrier hands over calls.
    pub trunk: SocketAddr,
    /// Where agents register.
    pub registrar: SocketAddr,
    /// The exchange that plays the department.
    pub departments: Departments,
    /// The SMS centre that the citizen's messages come to.
    pub sms_centre: Arc<dyn SmsCentre>,
    /// Finds clips such as `prompts/zh/citizen_sample_1.wav`.
    pub clips: Clips,
    /// The citizen's number.
    pub citizen: String,
    /// 工号; the console's user, too.
    pub agent: String,
    /// The number of the department that the agent asks for.
    pub hotline: String,
    /// The unit that handles the ticket: its code and its user.
    pub unit: (String, String),
    /// Console user of the dispatcher (派单员).
    pub dispatcher: String,
    /// Console user of the reviewer (审核员).
    pub reviewer: String,
    /// Console user of the follow-up agent (回访员).
    pub follow_up: String,
    /// Spoils this step, to show that the demo then fails.
    pub break_step: Option<StepName>,
}

impl DemoConfig {
    /// The sandbox's addresses and people.
    pub fn sandbox(departments: Departments, sms_centre: Arc<dyn SmsCentre>, clips: Clips) -> DemoConfig {
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        DemoConfig {
            base_url: "http://127.0.0.1:8080/api/v1".into(),
            trunk: local(5060),
            registrar: local(5070),
            departments,
            sms_centre,
            clips,
            citizen: super::citizens::number(0),
            agent: "8001".into(),
            hotline: "12330".into(),
            unit: ("203".into(), "unit203".into()),
            dispatcher: "dispatcher".into(),
            reviewer: "reviewer".into(),
            follow_up: "follow_up".into(),
            break_step: None,
        }
    }
}

/// The steps of the story, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepName {
    /// The agent signs in at the console, its telephone registers, and it is ready.
    SignIn,
    /// The citizen dials 12345 and hears the welcome.
    Dial,
    /// The agent's telephone rings and answers, and both hear each other.
    Answer,
    /// The agent asks for the department, where a person answers.
    ThreeWay,
    /// Each of the three hears the other two.
    Conference,
    /// The call has exactly one ticket, which the agent registers.
    Register,
    /// The department hangs up; citizen and agent go on.
    Leave,
    /// The citizen hangs up, and the agent's side ends with it.
    HangUp,
    /// The recording is there, whole and on both sides.
    Recording,
    /// The dispatcher gives the ticket to a unit, which signs for it.
    Dispatch,
    /// The unit replies, and the reply is accepted.
    Reply,
    /// The citizen is asked and is satisfied: the ticket is closed.
    FollowUp,
    /// The messages of acceptance and result have reached the citizen, with their receipts.
    Sms,
}

impl StepName {
    /// All of them, in the order of the story.
    pub const ALL: [StepName; 13] = [
        StepName::SignIn,
        StepName::Dial,
        StepName::Answer,
        StepName::ThreeWay,
        StepName::Conference,
        StepName::Register,
        StepName::Leave,
        StepName::HangUp,
        StepName::Recording,
        StepName::Dispatch,
        StepName::Reply,
        StepName::FollowUp,
        StepName::Sms,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            StepName::SignIn => "sign_in",
            StepName::Dial => "dial",
            StepName::Answer => "answer",
            StepName::ThreeWay => "three_way",
            StepName::Conference => "conference",
            StepName::Register => "register",
            StepName::Leave => "leave",
            StepName::HangUp => "hang_up",
            StepName::Recording => "recording",
            StepName::Dispatch => "dispatch",
            StepName::Reply => "reply",
            StepName::FollowUp => "follow_up",
            StepName::Sms => "sms",
        }
    }

    /// How long it may take.
    fn limit(self) -> Duration {
        Duration::from_secs(match self {
            StepName::Answer => 35,
            StepName::Dial | StepName::ThreeWay | StepName::Conference | StepName::Leave => 20,
            StepName::Recording | StepName::Sms => 15,
            _ => 10,
        })
    }

    /// What should have happened, for the message when it did not.
    fn expected(self) -> &'static str {
        match self {
            StepName::SignIn => "话务员登录控制台、分机注册成功并示闲",
            StepName::Dial => "12345接听来电,市民听到欢迎词",
            StepName::Answer => "排队后话务员振铃接听,双方互相听到",
            StepName::ThreeWay => "部门热线振铃并由人工接听",
            StepName::Conference => "市民、话务员、部门三方互相听到",
            StepName::Register => "通话有且只有一张工单,登记为待派单",
            StepName::Leave => "部门挂机退出,市民与话务员继续通话",
            StepName::HangUp => "市民挂机,话务员一侧随之结束",
            StepName::Recording => "通话录音可取得,双声道且完整",
            StepName::Dispatch => "派单员派单,承办单位签收",
            StepName::Reply => "承办单位答复,审核通过",
            StepName::FollowUp => "回访满意,工单结案",
            StepName::Sms => "受理与结果短信均送达并有回执",
        }
    }
}

impl fmt::Display for StepName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// No step has this name.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no step of the demo")]
pub struct UnknownStep(String);

impl FromStr for StepName {
    type Err = UnknownStep;

    fn from_str(name: &str) -> Result<StepName, UnknownStep> {
        StepName::ALL.into_iter().find(|step| step.name() == name).ok_or_else(|| UnknownStep(name.to_owned()))
    }
}

/// What a step came up against.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// A telephone could not do what it should.
    #[error(transparent)]
    Ua(#[from] UaError),
    /// The API did not answer as it should.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// What was seen in the place of what was expected.
    #[error("{0}")]
    Said(String),
    /// After so many seconds it was given up.
    #[error("{0} 秒内没有发生")]
    TimedOut(u64),
}

/// Why the demo failed.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The story broke off.
    #[error("步骤 {step} 失败。应当:{expected}。实际:{trouble}")]
    Step {
        /// Where.
        step: StepName,
        /// What should have come about.
        expected: &'static str,
        /// What did.
        trouble: Trouble,
    },
    /// The story was told to its end; so many checks did not hold.
    #[error("{0} 项检查不通过")]
    Checks(usize),
}

/// Runs one step within its time.
async fn step<T>(name: StepName, work: impl Future<Output = Result<T, Trouble>>) -> Result<T, DemoError> {
    let limit = name.limit();
    let done = timeout(limit, work).await.unwrap_or(Err(Trouble::TimedOut(limit.as_secs())));
    done.map_err(|trouble| DemoError::Step { step: name, expected: name.expected(), trouble })
}

/// Asks again and again until there is an answer; the step's limit ends it.
async fn until<T, F>(mut ask: impl FnMut() -> F) -> Result<T, Trouble>
where
    F: Future<Output = Result<Option<T>, Trouble>>,
{
    loop {
        if let Some(answer) = ask().await? {
            return Ok(answer);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Plays the whole story; Ok only when every step came about and every check holds. Takes some 30 s.
pub async fn run(config: DemoConfig, out: Box<dyn Write + Send>) -> Result<Vec<Check>, DemoError> {
    let mut story = Story::new(out, clock::now().mono);
    let outcome = play(&config, &mut story).await;
    let failed = story.finish(outcome.as_ref().err());
    match outcome {
        Err(error) => Err(error),
        Ok(()) if failed > 0 => Err(DemoError::Checks(failed)),
        Ok(()) => Ok(story.into_checks()),
    }
}

async fn play(config: &DemoConfig, story: &mut Story) -> Result<(), DemoError> {
    let tones = Tones::choose(&mut rand::rng());
    story.title(&format!(
        "hotline 演示:市民 {} 拨打 12345,话务员 {},三方 {};本次测试音 {:.0} / {:.0} / {:.0} Hz",
        config.citizen, config.agent, config.hotline, tones.citizen, tones.agent, tones.department
    ));
    let talk = phone::play(config, story, tones).await?;
    paper::play(config, story, &talk).await
}

#[cfg(test)]
mod tests;
