//! Passwords and keys: written plainly, or as `env:NAME` or `file:PATH`.

use std::{fmt, path::Path};

/// A secret's value; it is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps `value` from being printed.
    pub fn new(value: impl Into<String>) -> Self {
        Secret(value.into())
    }

    /// The value itself.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Resolves what is written in a file; paths are taken from `base`. Trailing line ends of a file are not part of it.
    pub fn resolve(written: &str, base: &Path) -> Result<Secret, SecretError> {
        if let Some(name) = written.strip_prefix("env:") {
            return match std::env::var(name) {
                Ok(value) if !value.is_empty() => Ok(Secret(value)),
                _ => Err(SecretError::Env(name.into())),
            };
        }
        if written == super::conceal::MARK {
            return Err(SecretError::Mark);
        }
        let Some(path) = written.strip_prefix("file:") else { return Ok(Secret(written.into())) };
        let path = base.join(path);
        let shown = || path.display().to_string();
        match std::fs::read_to_string(&path) {
            Ok(value) if value.trim().is_empty() => Err(SecretError::Empty(shown())),
            Ok(_) if readable_by_others(&path) => Err(SecretError::Open(shown())),
            Ok(value) => Ok(Secret(value.trim_end_matches(['\r', '\n']).into())),
            Err(error) => Err(SecretError::File(shown(), error.kind())),
        }
    }
}

/// Whether anyone but the owner and the group may read the file.
pub(super) fn readable_by_others(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 0o007 != 0)
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Why a secret could not be had; says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// What is shown in the place of a secret was written into the file.
    #[error("\"<unchanged>\" stands for a secret that is not shown")]
    Mark,
    /// Its name.
    #[error("environment variable {0} is not set")]
    Env(String),
    /// Its path, and what the system said.
    #[error("file {0} cannot be read ({1})")]
    File(String, std::io::ErrorKind),
    /// Nothing is left of it without white space.
    #[error("file {0} is empty")]
    Empty(String),
    /// On Unix others may read it, which a secret's file must not allow.
    #[error("file {0} can be read by everyone: chmod 600 it")]
    Open(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_found_and_not_printed() {
        use std::os::unix::fs::PermissionsExt;
        let folder = std::env::temp_dir().join(format!("hotline-secret-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("key");
        std::fs::write(&file, "s3cret\n").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        let secret = Secret::resolve("file:key", &folder).unwrap();
        assert_eq!((secret.expose(), format!("{secret:?}").as_str()), ("s3cret", "Secret(…)"));
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(Secret::resolve("file:key", &folder), Err(SecretError::Open(_))));
        assert!(matches!(Secret::resolve("file:none", &folder), Err(SecretError::File(..))));
        assert!(matches!(Secret::resolve("env:HOTLINE_NO_SUCH", &folder), Err(SecretError::Env(_))));
        assert_eq!(Secret::resolve("plain", &folder).unwrap().expose(), "plain");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
