//! The documents of the settings: `hotline.toml`, profiles and flows; read, changed, undone, each change a version.
//!
//! A change is tried as a whole with everything else before it is written; it is written beside the old file and put in
//! its place; its version is kept in the database; then it is put in force. Where a later step fails, the old text is
//! put back. A file that was changed by hand becomes a version when it is put in force, and so does one whose version
//! was not kept because the program died in between. Secrets never leave the files.

use super::{
    App, AppError,
    permissions::{self, Thing},
    reload::{Faults, NotReloaded, SettingsState},
    view::When,
};
use crate::{
    config::{Assets, Draft, SETTINGS, conceal},
    net::clock,
    store::{StoreError, setting_version::SettingVersionRow},
    ticket::Actor,
};
use serde::Serialize;
use std::{fs, io::Write, path::PathBuf, sync::Arc};
use utoipa::ToSchema;

/// Longer texts are refused.
const MOST: usize = 512 * 1024;

/// Why a change of the settings was refused; nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum SettingsRefused {
    /// The text has faults, alone or together with the rest.
    #[error(transparent)]
    Faulty(#[from] Faults),
    /// Who writes has to say which version was read.
    #[error("which version was read is not said")]
    Unseen,
    /// It was changed by somebody else meanwhile.
    #[error("the version is {current} by now")]
    Stale {
        /// The version it has.
        current: i64,
    },
    /// A sandbox has no `hotline.toml`.
    #[error("there is no configuration file")]
    NoFile,
    /// There is no earlier version.
    #[error("there is no version to go back to")]
    NoVersion,
    /// The file cannot be written.
    #[error("{0}")]
    Unwritable(String),
}

/// A document of the settings in a list.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct DocumentEntry {
    /// Such as `configuration/hotline.toml`, `sip-profiles/trunk.toml`, `ivr-flows/12345.toml`.
    pub name: String,
    /// Its latest version; 0 where none was kept yet.
    pub version: i64,
    /// Who wrote it: a user; `file` where the file was changed by hand; `embedded`.
    pub author: String,
    /// When.
    pub changed_at: Option<When>,
    /// Why.
    pub note: String,
    /// Whether a file says so; else it is what the program carries within itself.
    pub overridden: bool,
}

/// A document with its text.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct DocumentView {
    /// What the list says of it.
    #[serde(flatten)]
    pub entry: DocumentEntry,
    /// The whole text; secrets that are written plainly are shown as `<unchanged>`.
    pub text: String,
    /// Settings of all documents that were changed and take effect after a restart.
    pub pending_restart: Vec<String>,
}

/// A recording that flows play.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PromptView {
    /// As flows name it.
    pub name: String,
    /// How long it is.
    pub length_ms: u64,
    /// Whether a file takes the place of the embedded one.
    pub overridden: bool,
}

/// The settings: how they stand, the documents, the prompts.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SettingsView {
    /// How they stand.
    #[serde(flatten)]
    pub state: SettingsState,
    /// What they are written in.
    pub items: Vec<DocumentEntry>,
    /// What flows can play; changed by files alone.
    pub prompts: Vec<PromptView>,
}

/// What is to be written.
#[derive(Clone, Debug)]
pub struct Writing {
    /// The document's name.
    pub document: String,
    /// The version that the writer has seen; None is refused.
    pub seen: Option<i64>,
    /// The whole new text; None: what the program carries within itself.
    pub text: Option<String>,
    /// Why.
    pub note: String,
}

impl App {
    fn assets(&self) -> Assets {
        let base = match &self.source.path {
            None => self.source.data.clone(),
            Some(path) => path.parent().map(PathBuf::from).unwrap_or_default(),
        };
        Assets::new(Some(base))
    }

    /// Where a document lies, or would lie.
    fn file_of(&self, document: &str) -> Result<PathBuf, AppError> {
        if document == SETTINGS {
            return self.source.path.clone().ok_or(AppError::Settings(SettingsRefused::NoFile));
        }
        let name = document.strip_prefix("sip-profiles/").or(document.strip_prefix("ivr-flows/"));
        let plain = |name: &&str| {
            let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
            name.ends_with(".toml") && !name.starts_with('.') && name.len() <= 100 && name.chars().all(good)
        };
        name.filter(plain).and_then(|_| self.assets().own_path(document)).ok_or(AppError::NotFound("配置文件"))
    }

    /// A document's text as it is written now, secrets included; None where there is none.
    fn text_of(&self, document: &str) -> Option<String> {
        let bytes = match document == SETTINGS {
            true => fs::read(self.source.path.as_ref()?).ok()?,
            false => self.assets().read(document)?.into_owned(),
        };
        String::from_utf8(bytes).ok()
    }

    fn is_overridden(&self, document: &str) -> bool {
        document == SETTINGS || self.assets().is_overridden(document)
    }

    fn document_names(&self) -> Vec<String> {
        let own = self.source.path.is_some().then(|| SETTINGS.to_owned());
        let assets = self.assets();
        let listed = ["sip-profiles", "ivr-flows"].iter().flat_map(|folder| assets.list(folder, ".toml"));
        own.into_iter().chain(listed).collect()
    }

    fn entry(&self, document: String, latest: Option<&SettingVersionRow>) -> DocumentEntry {
        DocumentEntry {
            version: latest.map_or(0, |row| row.version),
            author: latest.map_or_else(String::new, |row| row.author.clone()),
            changed_at: latest.map(|row| When(row.at)),
            note: latest.map_or_else(String::new, |row| row.note.clone()),
            overridden: self.is_overridden(&document),
            name: document,
        }
    }

    fn document_view(&self, document: String, latest: Option<&SettingVersionRow>, text: String) -> DocumentView {
        let pending_restart = self.standings().pending.clone();
        DocumentView { entry: self.entry(document, latest), text, pending_restart }
    }

    /// The settings as a whole.
    ///
    /// # Errors
    /// `Forbidden`; the store's; `Overloaded`.
    pub async fn settings_list(&self, actor: &Actor) -> Result<SettingsView, AppError> {
        permissions::require(actor, Thing::Settings)?;
        let latest = self.store.setting_version_latest().await?;
        let of = |name: &String| latest.iter().find(|row| row.document == *name);
        let names = self.document_names();
        let items = names.into_iter().map(|name| self.entry(name.clone(), of(&name))).collect();
        let assets = self.assets();
        let prompt = |name: String| {
            let length_ms = assets.clip_length(&name).map_or(0, |length| length.as_millis() as u64);
            PromptView { overridden: assets.is_overridden(&format!("ivr-flows/{name}")), length_ms, name }
        };
        let prompts = assets.clip_names().into_iter().map(prompt).collect();
        Ok(SettingsView { state: self.settings_state().await?, items, prompts })
    }

    /// One document.
    ///
    /// # Errors
    /// `Forbidden`, `NotFound`; the store's.
    pub async fn settings_get(&self, actor: &Actor, document: &str) -> Result<DocumentView, AppError> {
        permissions::require(actor, Thing::Settings)?;
        self.file_of(document)?;
        let text = self.text_of(document).ok_or(AppError::NotFound("配置文件"))?;
        let rows = self.store.setting_version_list(document).await?;
        Ok(self.document_view(document.to_owned(), rows.first(), conceal::conceal(&text)))
    }

    /// The versions of a document, the latest first.
    ///
    /// # Errors
    /// `Forbidden`, `NotFound`; the store's.
    pub async fn settings_versions(&self, actor: &Actor, document: &str) -> Result<Vec<SettingVersionRow>, AppError> {
        permissions::require(actor, Thing::Settings)?;
        self.file_of(document)?;
        let rows = self.store.setting_version_list(document).await?;
        if rows.is_empty() { Err(AppError::NotFound("配置文件")) } else { Ok(rows) }
    }

    /// Puts the files in force as they are now.
    ///
    /// # Errors
    /// `Forbidden`, `Settings` with the faults; the store's; `Overloaded`.
    pub async fn settings_reload(self: &Arc<Self>, actor: &Actor) -> Result<SettingsState, AppError> {
        permissions::require(actor, Thing::Settings)?;
        self.audit(actor, "settings.reload", "", "").await?;
        self.reload().await.map_err(not_reloaded)?;
        Ok(self.settings_state().await?)
    }

    /// Goes back to an earlier version, the one before the latest unless said; this is a version, too.
    ///
    /// # Errors
    /// As [`App::settings_put`]; `Settings` where there is no such version.
    pub async fn settings_undo(
        self: &Arc<Self>,
        actor: &Actor,
        document: &str,
        seen: Option<i64>,
        version: Option<i64>,
        note: &str,
    ) -> Result<DocumentView, AppError> {
        permissions::require(actor, Thing::Settings)?;
        self.file_of(document)?;
        let back = version.unwrap_or(seen.ok_or(SettingsRefused::Unseen)? - 1);
        let row = self.store.setting_version_get(document, back).await?;
        let row = row.ok_or(AppError::Settings(SettingsRefused::NoVersion))?;
        let text = row.overridden.then_some(row.text);
        let note = format!("撤销到版本 {back} (back to version {back}): {note}");
        self.settings_put(actor, Writing { document: document.to_owned(), seen, text, note }).await
    }

    /// Writes a document and puts it in force.
    ///
    /// # Errors
    /// `Forbidden`, `NotFound`, `Settings` with the reason; the store's; `Overloaded`. The old text is in force then.
    pub async fn settings_put(self: &Arc<Self>, actor: &Actor, writing: Writing) -> Result<DocumentView, AppError> {
        permissions::require(actor, Thing::Settings)?;
        let Writing { document, seen, text, note } = writing;
        let path = self.file_of(&document)?;
        if text.as_ref().is_some_and(|text| text.len() > MOST) {
            return Err(AppError::Invalid(format!("配置文件不能超过 {} KB", MOST / 1024)));
        }
        if text.is_none() && document == SETTINGS {
            return Err(AppError::Invalid("主配置文件不能删除".to_owned()));
        }
        let mut planned = self.planned.lock().await;
        let rows = self.store.setting_version_list(&document).await?;
        let current = rows.first().map_or(0, |row| row.version);
        let seen = seen.ok_or(SettingsRefused::Unseen)?;
        if seen != current {
            return Err(SettingsRefused::Stale { current }.into());
        }
        let before = self.text_of(&document).unwrap_or_default();
        let restored = text.map(|text| conceal::restore(&text, &before, &path.display().to_string()));
        let text = restored.transpose().map_err(|faults| SettingsRefused::Faulty(faults.into()))?;
        let (app, draft) = (self.clone(), Draft { document: document.clone(), text: text.clone() });
        let loaded = tokio::task::spawn_blocking(move || app.source.load_with(Some(draft))).await;
        let loaded = loaded.map_err(|error| SettingsRefused::Unwritable(error.to_string()))?;
        let configuration = loaded.map_err(SettingsRefused::Faulty)?;

        let old = fs::read(&path).ok();
        write(&path, text.as_deref().map(str::as_bytes))
            .map_err(|error| SettingsRefused::Unwritable(format!("{}: {error}", path.display())))?;
        let row = SettingVersionRow {
            document: document.clone(),
            version: current + 1,
            text: conceal::conceal(&self.text_of(&document).unwrap_or_default()),
            overridden: text.is_some(),
            author: actor.user.as_ref().map_or_else(|| "system".to_owned(), ToString::to_string),
            note,
            at: clock::now().wall,
        };
        let kept = match self.store.setting_version_add(row).await {
            Ok(()) => self.take_up(configuration, &mut planned).await.map_err(not_reloaded),
            Err(error) => Err(error.into()),
        };
        if let Err(error) = kept {
            if let Err(error) = write(&path, old.as_deref()) {
                tracing::error!(file = %path.display(), %error, "the old settings could not be put back");
            }
            // If the version was kept, the old text is the next one.
            let _ = self.keep_versions().await;
            return Err(error);
        }
        self.told(&Ok(()));
        // A document that is gone with its last file has no text to show.
        let view = match self.text_of(&document) {
            Some(_) => self.settings_get(actor, &document).await,
            None => {
                let rows = self.store.setting_version_list(&document).await?;
                Ok(self.document_view(document, rows.first(), String::new()))
            }
        };
        self.publish_settings().await;
        view
    }

    /// Keeps what is written now as the latest version of each document that says something else than before.
    ///
    /// # Errors
    /// The store's.
    pub(super) async fn keep_versions(&self) -> Result<(), StoreError> {
        let latest = self.store.setting_version_latest().await?;
        for document in self.document_names() {
            let Some(text) = self.text_of(&document) else { continue };
            let (text, overridden) = (conceal::conceal(&text), self.is_overridden(&document));
            let known = latest.iter().find(|row| row.document == document);
            if known.is_some_and(|row| row.text == text && row.overridden == overridden) {
                continue;
            }
            let author = if overridden { "file" } else { "embedded" }.to_owned();
            let version = known.map_or(1, |row| row.version + 1);
            let (note, at) = (String::new(), clock::now().wall);
            self.store
                .setting_version_add(SettingVersionRow { document, version, text, overridden, author, note, at })
                .await?;
        }
        Ok(())
    }
}

fn not_reloaded(error: NotReloaded) -> AppError {
    match error {
        NotReloaded::Faulty(faults) => SettingsRefused::Faulty(faults).into(),
        NotReloaded::Store(error) => error.into(),
        NotReloaded::Overloaded(error) => error.into(),
    }
}

/// Puts a text in the place of a file, or removes the file; after a power cut it is the one or the other as a whole.
fn write(path: &PathBuf, text: Option<&[u8]>) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.map_or_else(|| PathBuf::from("."), PathBuf::from);
    match text {
        Some(text) => {
            fs::create_dir_all(&folder)?;
            let draft = path.with_extension("toml.new");
            let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o640).open(&draft)?;
            if let Ok(meta) = fs::metadata(path) {
                file.set_permissions(meta.permissions())?;
            }
            file.write_all(text)?;
            file.sync_all()?;
            fs::rename(&draft, path)?;
        }
        None if path.exists() => fs::remove_file(path)?,
        None => return Ok(()),
    }
    fs::File::open(&folder)?.sync_all()
}
