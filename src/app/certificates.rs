//! The certificates that are shown: loaded at start-up, loaded again on SIGHUP, exchanged while all goes on.

use crate::{
    clock::UnixMillis,
    config::{Certificate, CertificateError, Profile, Settings, TlsFiles, Transport, certificate},
    ivr::Fault,
    net::sip::Shown,
};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// One that is shown.
struct InForce {
    file: PathBuf,
    not_after: UnixMillis,
    shown: Arc<Shown>,
}

/// When the certificate of a profile ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// The profile's name.
    pub profile: String,
    /// Where it was read from.
    pub file: PathBuf,
    /// Its last moment.
    pub not_after: UnixMillis,
}

/// Those of all profiles, by the profile's name.
#[derive(Default)]
pub struct Certificates(Mutex<BTreeMap<String, InForce>>);

impl Certificates {
    /// Loads those of every profile that listens on TLS. One that is over is shown all the same: telephones that do not
    /// look still reach us, and the others' people are told why.
    ///
    /// # Errors
    /// What is wrong with which file.
    pub fn load(settings: &Settings, profiles: &[Profile], now: UnixMillis) -> Result<Self, CertificateError> {
        let mut all = BTreeMap::new();
        for (profile, files) in certificate::files(settings, profiles) {
            let Some(files) = files else { continue };
            if files.create {
                files.make(now)?;
            }
            let loaded = Certificate::load(&files)?;
            match loaded.in_force(now) {
                Err(error) => tracing::error!(profile, "{}", error.fault()),
                Ok(()) => loaded.warning(now).into_iter().for_each(|warning| tracing::warn!(profile, "{warning}")),
            }
            tell(&profile, &loaded);
            let shown = Arc::new(Shown::new(loaded.keyed));
            all.insert(profile, InForce { file: loaded.file, not_after: loaded.not_after, shown });
        }
        Ok(Certificates(Mutex::new(all)))
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<String, InForce>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where to listen on TLS, with what each address shows.
    pub fn listeners(&self, profiles: &[Profile]) -> Vec<(SocketAddr, Arc<Shown>)> {
        let all = self.all();
        let mut listeners = Vec::new();
        for profile in profiles {
            let Some(one) = all.get(&profile.name) else { continue };
            let tls = profile.listen.iter().filter(|listener| listener.transport == Transport::Tls);
            listeners.extend(tls.map(|listener| (listener.address, one.shown.clone())));
        }
        listeners
    }

    /// Loads them again. New handshakes see the new ones, open connections stay. One with a fault, or that is over,
    /// leaves the old one in force, and is told and given back.
    pub fn reload(&self, settings: &Settings, profiles: &[Profile], now: UnixMillis) -> Vec<Fault> {
        let mut faults = Vec::new();
        let files = certificate::files(settings, profiles);
        let mut all = self.all();
        for (profile, files) in &files {
            let Some(files) = files else { continue };
            if all.contains_key(profile) {
                continue;
            }
            // A profile that listens on TLS from now on.
            match sound(files, now) {
                Ok(loaded) => {
                    tell(profile, &loaded);
                    let shown = Arc::new(Shown::new(loaded.keyed));
                    all.insert(profile.clone(), InForce { file: loaded.file, not_after: loaded.not_after, shown });
                }
                Err(error) => faults.push(error.fault()),
            }
        }
        for (profile, one) in all.iter_mut() {
            let Some(Some(files)) = files.get(profile) else { continue };
            match sound(files, now) {
                Ok(loaded) => {
                    tell(profile, &loaded);
                    if !one.shown.is(&loaded.keyed) {
                        let file = loaded.file.display();
                        tracing::info!(profile, %file, "another certificate is shown from here on (已启用新证书)");
                    }
                    one.shown.exchange(loaded.keyed);
                    (one.file, one.not_after) = (loaded.file, loaded.not_after);
                }
                Err(error) => {
                    let fault = error.fault();
                    tracing::error!(profile, "the certificate stays as it was (仍用原证书): {fault}");
                    metrics::counter!("hotline_certificates_refused_total", "profile" => profile.clone()).increment(1);
                    faults.push(fault);
                }
            }
        }
        faults
    }

    /// When each of them ends.
    pub fn expiries(&self) -> Vec<Expiry> {
        let expiry = |(profile, one): (&String, &InForce)| Expiry {
            profile: profile.clone(),
            file: one.file.clone(),
            not_after: one.not_after,
        };
        self.all().iter().map(expiry).collect()
    }
}

fn sound(files: &TlsFiles, now: UnixMillis) -> Result<Certificate, CertificateError> {
    let loaded = Certificate::load(files)?;
    loaded.in_force(now)?;
    Ok(loaded)
}

fn tell(profile: &str, loaded: &Certificate) {
    let seconds = loaded.not_after.0 as f64 / 1000.0;
    metrics::gauge!("hotline_certificate_not_after_seconds", "profile" => profile.to_owned()).set(seconds);
}
