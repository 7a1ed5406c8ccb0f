//! Simulated agents (话务员): registered telephones that answer by themselves.

use super::{
    sample,
    ua::{Audio, Call, Policy, Ua, UaError},
};
use std::{net::SocketAddr, time::Duration};

/// One agent at a telephone.
#[derive(Clone, Debug)]
pub struct Agent {
    /// 工号, and the telephone's user name.
    pub number: String,
    ua: Ua,
    registrar: SocketAddr,
}

impl Agent {
    /// Registers a telephone with the sandbox's password of this number.
    pub async fn sit_down(number: &str, registrar: SocketAddr) -> Result<Agent, UaError> {
        Agent::sit_down_with(number, &sample::password(number), registrar).await
    }

    /// Registers a telephone with this password.
    pub async fn sit_down_with(number: &str, password: &str, registrar: SocketAddr) -> Result<Agent, UaError> {
        let ua = Ua::bind(SocketAddr::new(registrar.ip(), 0)).await?;
        ua.register(registrar, number, password).await?;
        Ok(Agent { number: number.to_owned(), ua, registrar })
    }

    /// Answers each call after ringing so long, saying `audio`.
    pub async fn answer_calls(&self, after: Duration, audio: Audio) -> Result<(), UaError> {
        self.ua.on_incoming(Policy::Answer { after }, audio).await
    }

    /// Lets calls ring and never answers.
    pub async fn ignore_calls(&self) -> Result<(), UaError> {
        self.ua.on_incoming(Policy::Ring, Audio::Silence).await
    }

    /// The next call that rang here.
    pub async fn next_call(&self) -> Result<Call, UaError> {
        self.ua.next_call().await
    }

    /// Dials from the agent's telephone.
    pub async fn dial(&self, number: &str, audio: Audio) -> Result<Call, UaError> {
        self.ua.call(&format!("sip:{number}@{}", self.registrar), &self.number, audio).await
    }

    /// Takes the registration back.
    pub async fn leave(&self) -> Result<(), UaError> {
        self.ua.unregister().await
    }

    /// The telephone itself.
    pub fn phone(&self) -> &Ua {
        &self.ua
    }
}
