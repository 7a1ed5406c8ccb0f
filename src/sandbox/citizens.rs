//! Simulated citizens (诉求人): telephones beyond the trunk, which does not register.

use super::ua::{Audio, Call, CallOptions, Ua, UaError};
use std::net::SocketAddr;

/// The number of the first simulated citizen. The block is never given to a real subscriber in the sample.
const FIRST: u64 = 13_900_000_001;

/// The number of the n-th simulated citizen, from 0.
pub fn number(n: u32) -> String {
    (FIRST + u64::from(n)).to_string()
}

/// One citizen with a telephone.
#[derive(Clone, Debug)]
pub struct Citizen {
    /// The number that is shown to who is called.
    pub number: String,
    ua: Ua,
    trunk: SocketAddr,
}

impl Citizen {
    /// A telephone of this number whose exchange hands calls to `trunk`.
    pub async fn new(number: &str, trunk: SocketAddr) -> Result<Citizen, UaError> {
        let ua = Ua::bind(SocketAddr::new(trunk.ip(), 0)).await?;
        Ok(Citizen { number: number.to_owned(), ua, trunk })
    }

    /// Dials, saying `audio` once connected; carriers assert the number beside From (RFC 3325).
    pub async fn dial(&self, number: &str, audio: Audio) -> Result<Call, UaError> {
        let identity = format!("<sip:{}@{}>", self.number, self.ua.local());
        let headers = vec![("P-Asserted-Identity".to_owned(), identity)];
        let target = format!("sip:{number}@{}", self.trunk);
        self.ua.call_with(CallOptions { target, from: self.number.clone(), audio, headers }).await
    }

    /// The telephone itself, for being called back.
    pub fn phone(&self) -> &Ua {
        &self.ua
    }
}
