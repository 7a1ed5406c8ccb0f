//! The certificates that TLS listeners show: two PEM files, the key held against its certificate, and when it ends.
//!
//! A profile names its own in `[tls]`; without it, the one in `[tls]` of the settings serves. The sandbox makes one for
//! 127.0.0.1 that nobody else vouches for. Left out: the telephones' own certificates, which are not asked for.

use super::{
    profile::{Profile, Transport},
    settings::Settings,
};
use crate::{
    clock::UnixMillis,
    ivr::{Fault, Place, document::Table},
};
use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio_rustls::rustls::{
    self,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};

/// An end that is nearer than this is warned of.
pub const SOON: Duration = Duration::from_secs(21 * 86_400);
/// The most bytes of one PEM file.
const LONGEST: u64 = 1 << 20;
/// How long a certificate of our own making is good.
const OWN_LIFE: Duration = Duration::from_secs(365 * 86_400);

/// `[tls]`: where a certificate and its key lie.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TlsFiles {
    /// PEM: the certificate first, then those that vouch for it.
    pub certificate: PathBuf,
    /// PEM: PKCS#8, PKCS#1 or SEC1, without a passphrase.
    pub key: PathBuf,
    /// Both are made at start-up where they are not there: in the sandbox alone.
    pub create: bool,
}

impl TlsFiles {
    /// The sandbox's.
    pub fn sandbox(data_dir: &Path) -> Self {
        let folder = data_dir.join("tls");
        TlsFiles { certificate: folder.join("sandbox.pem"), key: folder.join("sandbox.key"), create: true }
    }

    /// Reads `[tls]`; relative paths are taken from `base`.
    pub(super) fn read(table: &Table<'_>, base: &Path) -> Option<Self> {
        let certificate = table.required_text("certificate", "write certificate = \"tls/certificate.pem\"");
        let key = table.required_text("key", "write key = \"tls/certificate.key\"");
        Some(TlsFiles { certificate: base.join(certificate?), key: base.join(key?), create: false })
    }

    /// The files of a profile: its own, or those of the settings.
    pub fn of(settings: &Settings, profile: &Profile) -> Option<Self> {
        let base = Path::new(&settings.file).parent().unwrap_or(Path::new(""));
        let own = profile.tls.clone().map(|own| TlsFiles {
            certificate: base.join(own.certificate),
            key: base.join(own.key),
            ..own
        });
        own.or_else(|| settings.tls.clone())
    }

    /// Makes a certificate for this host's loopback addresses, signed by itself, where none is there or its end is near.
    ///
    /// # Errors
    /// The folder or the files cannot be written.
    pub fn make(&self, now: UnixMillis) -> Result<(), CertificateError> {
        if Certificate::load(self).is_ok_and(|there| there.not_after > now.plus(SOON)) {
            return Ok(());
        }
        let failed = |error: io::Error| CertificateError::Unreadable { file: self.certificate.clone(), error };
        let unmade = |error: rcgen::Error| failed(io::Error::other(error));
        let (certificate, key) = self_signed(&["localhost", "127.0.0.1", "::1"], now).map_err(unmade)?;
        for (path, text, mode) in [(&self.key, key, 0o600), (&self.certificate, certificate, 0o644)] {
            write(path, &text, mode).map_err(failed)?;
        }
        Ok(())
    }
}

/// The PEM texts of a new certificate for these names, and of its key.
fn self_signed(names: &[&str], now: UnixMillis) -> Result<(String, String), rcgen::Error> {
    let key = rcgen::KeyPair::generate()?;
    let mut parameters =
        rcgen::CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())?;
    parameters.distinguished_name.push(rcgen::DnType::CommonName, "hotline sandbox");
    // The day before allows for a telephone whose clock is behind.
    let day = |at: UnixMillis| {
        let date = jiff::Timestamp::from_millisecond(at.0).unwrap_or_default().to_zoned(jiff::tz::TimeZone::UTC);
        rcgen::date_time_ymd(date.year().into(), date.month().unsigned_abs(), date.day().unsigned_abs())
    };
    parameters.not_before = day(UnixMillis(now.0 - 86_400_000));
    parameters.not_after = day(now.plus(OWN_LIFE));
    Ok((parameters.self_signed(&key)?.pem(), key.serialize_pem()))
}

fn write(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    use std::io::Write;
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Why a certificate cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// It cannot be read or, where it is made, written.
    #[error("{}: cannot be read: {error}", file.display())]
    Unreadable {
        /// The file at fault.
        file: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// There is no PEM certificate in it.
    #[error("{}: holds no certificate in PEM (没有 PEM 证书)", file.display())]
    NoCertificate {
        /// The file at fault.
        file: PathBuf,
    },
    /// There is no plain PEM key in it.
    #[error("{}: holds no private key in PEM without a passphrase (没有未加密的 PEM 私钥)", file.display())]
    NoKey {
        /// The file at fault.
        file: PathBuf,
    },
    /// Its permissions let everyone read it.
    #[error("{}: the key can be read by everyone (私钥可被所有人读取)", file.display())]
    OpenKey {
        /// The file at fault.
        file: PathBuf,
    },
    /// A key that cannot sign handshakes here.
    #[error("{}: the key is of no kind that is known here: {error}", file.display())]
    UnknownKey {
        /// The file at fault.
        file: PathBuf,
        /// What is not liked of it.
        error: rustls::Error,
    },
    /// The key belongs to another certificate.
    #[error("{}: the key is not that of the certificate {} (私钥与证书不匹配)", file.display(), certificate.display())]
    OtherKey {
        /// The file at fault.
        file: PathBuf,
        /// The certificate that it does not fit.
        certificate: PathBuf,
    },
    /// What it holds is no X.509 certificate.
    #[error("{}: the certificate cannot be understood (证书无法解析)", file.display())]
    Malformed {
        /// The file at fault.
        file: PathBuf,
    },
    /// Its end is past.
    #[error("{}: the certificate ended on {} (证书已过期)", file.display(), date(*at))]
    Expired {
        /// The file at fault.
        file: PathBuf,
        /// When it ended.
        at: UnixMillis,
    },
    /// Its beginning is to come.
    #[error("{}: the certificate begins on {} only (证书尚未生效)", file.display(), date(*at))]
    NotYet {
        /// The file at fault.
        file: PathBuf,
        /// When it begins.
        at: UnixMillis,
    },
}

impl CertificateError {
    /// The same as a fault of its file.
    pub fn fault(&self) -> Fault {
        use CertificateError as E;
        let (file, fix) = match self {
            E::Unreadable { file, .. } => (file, "let the program's user read it, or name another in [tls]".to_owned()),
            E::NoCertificate { file } => (file, "it begins with -----BEGIN CERTIFICATE-----".to_owned()),
            E::NoKey { file } => (file, "it begins with -----BEGIN PRIVATE KEY-----".to_owned()),
            E::OpenKey { file } => (file, format!("chmod 640 {}", file.display())),
            E::UnknownKey { file, .. } => (file, "use ECDSA P-256 or RSA with 2048 bits or more".to_owned()),
            E::OtherKey { file, .. } => (file, "put the key there that the certificate was made with".to_owned()),
            E::Malformed { file } => (file, "see openssl x509 -noout -text -in FILE".to_owned()),
            E::Expired { file, .. } => (file, "renew it, then systemctl reload hotline".to_owned()),
            E::NotYet { file, .. } => (file, "see whether this machine's clock is right".to_owned()),
        };
        let text = self.to_string();
        let name = file.display().to_string();
        let what = text.strip_prefix(&format!("{name}: ")).unwrap_or(&text).to_owned();
        Fault::new(&name, Place::default(), what, fix)
    }
}

/// A certificate with its key, as a listener shows it.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// Where it was read from.
    pub file: PathBuf,
    /// From when it is good.
    pub not_before: UnixMillis,
    /// Until when.
    pub not_after: UnixMillis,
    /// The chain with its key.
    pub keyed: Arc<CertifiedKey>,
}

impl Certificate {
    /// Reads both files and holds the key against the certificate; whether it is in force is [`Self::in_force`]'s.
    ///
    /// # Errors
    /// What is wrong with which file.
    pub fn load(files: &TlsFiles) -> Result<Self, CertificateError> {
        let file = &files.certificate;
        let text = read(file)?;
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&text)
            .collect::<Result<_, _>>()
            .map_err(|_| CertificateError::NoCertificate { file: file.clone() })?;
        let first = chain.first().ok_or_else(|| CertificateError::NoCertificate { file: file.clone() })?;
        let (not_before, not_after) =
            validity(first).ok_or_else(|| CertificateError::Malformed { file: file.clone() })?;
        let text = read(&files.key)?;
        let key =
            PrivateKeyDer::from_pem_slice(&text).map_err(|_| CertificateError::NoKey { file: files.key.clone() })?;
        if super::secret::readable_by_others(&files.key) {
            return Err(CertificateError::OpenKey { file: files.key.clone() });
        }
        let signing = ring::sign::any_supported_type(&key)
            .map_err(|error| CertificateError::UnknownKey { file: files.key.clone(), error })?;
        let keyed = CertifiedKey::new(chain, signing);
        match keyed.keys_match() {
            Ok(()) => {}
            Err(rustls::Error::InconsistentKeys(_)) => {
                return Err(CertificateError::OtherKey { file: files.key.clone(), certificate: file.clone() });
            }
            Err(_) => return Err(CertificateError::Malformed { file: file.clone() }),
        }
        Ok(Certificate { file: file.clone(), not_before, not_after, keyed: Arc::new(keyed) })
    }

    /// Whether it is in force at `now`.
    ///
    /// # Errors
    /// `Expired`, `NotYet`.
    pub fn in_force(&self, now: UnixMillis) -> Result<(), CertificateError> {
        if now > self.not_after {
            return Err(CertificateError::Expired { file: self.file.clone(), at: self.not_after });
        }
        if now < self.not_before {
            return Err(CertificateError::NotYet { file: self.file.clone(), at: self.not_before });
        }
        Ok(())
    }

    /// The warning of one whose end is near.
    pub fn warning(&self, now: UnixMillis) -> Option<Fault> {
        let what = format!("the certificate ends on {} (证书即将过期)", date(self.not_after));
        let fault = Fault::of_file(&self.file.display().to_string(), what, "renew it, then systemctl reload hotline");
        (now.plus(SOON) > self.not_after).then(|| fault.as_warning())
    }
}

fn date(at: UnixMillis) -> String {
    jiff::Timestamp::from_millisecond(at.0).map(|at| at.strftime("%Y-%m-%d %H:%M UTC").to_string()).unwrap_or_default()
}

fn read(path: &Path) -> Result<Vec<u8>, CertificateError> {
    let unreadable = |error| CertificateError::Unreadable { file: path.to_path_buf(), error };
    let length = fs::metadata(path).map_err(unreadable)?.len();
    if length > LONGEST {
        return Err(unreadable(io::Error::other("it is too long")));
    }
    fs::read(path).map_err(unreadable)
}

/// The files of each profile that listens on TLS, by its name; None where it has none.
pub fn files(settings: &Settings, profiles: &[Profile]) -> BTreeMap<String, Option<TlsFiles>> {
    let tls = |profile: &&Profile| profile.listen.iter().any(|listener| listener.transport == Transport::Tls);
    let enabled = profiles.iter().filter(|profile| profile.enabled).filter(tls);
    enabled.map(|profile| (profile.name.clone(), TlsFiles::of(settings, profile))).collect()
}

/// What is wrong with the certificates at `now`, each file once. Of a sandbox that has none yet nothing is said.
pub fn faults(settings: &Settings, profiles: &[Profile], now: Option<UnixMillis>) -> Vec<Fault> {
    let mut all: Vec<TlsFiles> = files(settings, profiles).into_values().flatten().collect();
    all.sort();
    all.dedup();
    let of_one = |files: &TlsFiles| match Certificate::load(files) {
        _ if files.create => None,
        Err(error) => Some(error.fault()),
        Ok(certificate) => match certificate.in_force(now?) {
            Err(error) => Some(error.fault()),
            Ok(()) => certificate.warning(now?),
        },
    };
    all.iter().filter_map(of_one).collect()
}

/// From when until when a certificate is good (RFC 5280 section 4.1.2.5).
fn validity(certificate: &[u8]) -> Option<(UnixMillis, UnixMillis)> {
    const SEQUENCE: u8 = 0x30;
    const VERSION: u8 = 0xa0;
    let (tag, body, _) = element(certificate)?;
    let (inner, to_be_signed, _) = element(body)?;
    if (tag, inner) != (SEQUENCE, SEQUENCE) {
        return None;
    }
    let (tag, _, after) = element(to_be_signed)?;
    // The version is left out in the first one; then come serial number, algorithm and issuer.
    let mut rest = if tag == VERSION { after } else { to_be_signed };
    for _ in 0..3 {
        (_, _, rest) = element(rest)?;
    }
    let (SEQUENCE, times, _) = element(rest)? else { return None };
    let (tag, from, rest) = element(times)?;
    let (until_tag, until, _) = element(rest)?;
    Some((time(tag, from)?, time(until_tag, until)?))
}

/// One element of DER: its tag, its content, and what follows it.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, length, rest) = (*bytes.first()?, *bytes.get(1)?, bytes.get(2..)?);
    let (length, rest) = match length {
        0..=0x7f => (usize::from(length), rest),
        // Its length in one to three bytes.
        0x81..=0x83 => {
            let (long, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
            (long.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// UTCTime or GeneralizedTime, to the second and in UTC, as certificates have it.
fn time(tag: u8, text: &[u8]) -> Option<UnixMillis> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let text = match (tag, text.len()) {
        (0x17, 12) if text < "50" => format!("20{text}"),
        (0x17, 12) => format!("19{text}"),
        (0x18, 14) => text.to_owned(),
        _ => return None,
    };
    let at = jiff::civil::DateTime::strptime("%Y%m%d%H%M%S", &text).ok()?;
    Some(UnixMillis(at.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-25T00:00:00Z.
    const NOW: UnixMillis = UnixMillis(1_795_564_800_000);
    const DAY: i64 = 86_400_000;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("hotline-certificate-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Folder(path)
        }

        fn files(&self, name: &str) -> TlsFiles {
            let path = |end: &str| self.0.join(format!("{name}.{end}"));
            TlsFiles { certificate: path("pem"), key: path("key"), create: true }
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn one_of_our_own_making_is_read_back_and_renewed_before_its_end() {
        let folder = Folder::new("own");
        let files = folder.files("a");
        files.make(NOW).unwrap();
        let made = Certificate::load(&files).unwrap();
        assert_eq!((made.not_before, made.not_after), (UnixMillis(NOW.0 - DAY), UnixMillis(NOW.0 + 365 * DAY)));
        assert!(made.in_force(NOW).is_ok() && made.warning(NOW).is_none());
        let text = fs::read(&files.certificate).unwrap();
        files.make(NOW.plus(Duration::from_secs(300 * 86_400))).unwrap();
        assert_eq!(fs::read(&files.certificate).unwrap(), text, "it is kept");
        files.make(NOW.plus(Duration::from_secs(350 * 86_400))).unwrap();
        assert_ne!(fs::read(&files.certificate).unwrap(), text, "its end was near");
    }

    #[test]
    fn what_is_wrong_is_named_with_its_file() {
        let folder = Folder::new("wrong");
        let (one, two) = (folder.files("one"), folder.files("two"));
        one.make(NOW).unwrap();
        two.make(NOW).unwrap();
        let fault = |certificate: &Path, key: &Path| {
            let files = TlsFiles { certificate: certificate.into(), key: key.into(), create: false };
            Certificate::load(&files).unwrap_err().fault().to_string()
        };
        let missing = folder.0.join("missing.pem");
        assert!(fault(&missing, &one.key).starts_with(&format!("{}: cannot be read", missing.display())));
        let mixed = fault(&one.certificate, &two.key);
        assert!(mixed.starts_with(&two.key.display().to_string()) && mixed.contains("不匹配"), "{mixed}");
        assert!(fault(&one.key, &one.key).contains("holds no certificate"));
        assert!(fault(&one.certificate, &one.certificate).contains("holds no private key"));
        let broken = folder.0.join("broken.pem");
        fs::write(&broken, "-----BEGIN CERTIFICATE-----\nMAMCAQE=\n-----END CERTIFICATE-----\n").unwrap();
        assert!(fault(&broken, &one.key).contains("cannot be understood"));
        fs::set_permissions(&one.key, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
        assert!(fault(&one.certificate, &one.key).contains("chmod 640"));
    }

    #[test]
    fn its_time_is_told() {
        let folder = Folder::new("time");
        let files = folder.files("a");
        files.make(NOW).unwrap();
        let made = Certificate::load(&files).unwrap();
        let at = |days: i64| UnixMillis(NOW.0 + days * DAY);
        assert!(made.warning(at(350)).is_some_and(|fault| fault.is_warning()));
        assert!(made.in_force(at(366)).unwrap_err().to_string().contains("ended on 2027-11-25 00:00 UTC"));
        assert!(matches!(made.in_force(at(-2)), Err(CertificateError::NotYet { .. })));
    }

    #[test]
    fn times_of_both_kinds() {
        assert_eq!(time(0x17, b"261125000000Z"), Some(NOW));
        assert_eq!(time(0x18, b"20261125000000Z"), Some(NOW));
        assert_eq!(time(0x17, b"500101000000Z").map(|at| at.0 < 0), Some(true));
        for wrong in [&b"261125000000"[..], b"2611250000Z", b"26112500000\xffZ", b"261325000000Z", b""] {
            assert_eq!(time(0x17, wrong), None);
        }
    }

    #[test]
    fn pieces_of_a_certificate_are_none() {
        let folder = Folder::new("pieces");
        let files = folder.files("a");
        files.make(NOW).unwrap();
        let whole = CertificateDer::from_pem_file(&files.certificate).unwrap();
        assert!(validity(&whole).is_some());
        for end in 0..whole.len() {
            assert_eq!(validity(&whole[..end]), None, "{end} bytes");
        }
    }
}
