//! The commands of upkeep: `hotline migrate`, `hotline backup`, `hotline restore`.

use crate::{Place, load};
use anyhow::{Context, bail};
use clap::Args;
use hotline::{
    app::{
        backup::{self, Restoring},
        setup,
    },
    config::Configuration,
    net::clock,
    store::{DataFolder, SCHEMA_VERSION, schema_migrate, schema_version},
};
use std::{
    io::{IsTerminal, Write},
    path::PathBuf,
    process::ExitCode,
};

#[derive(Args)]
pub struct Migrate {
    /// 只说明数据库的结构版本,不作改动;需要升级时以 1 退出
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    place: Place,
}

#[derive(Args)]
pub struct Backup {
    /// 备份写到这个文件;是目录时按时间命名
    to: PathBuf,
    /// 不含录音
    #[arg(long)]
    no_recordings: bool,
    #[command(flatten)]
    place: Place,
}

#[derive(Args)]
pub struct Restore {
    /// 备份文件
    file: PathBuf,
    /// 目标不是空的也恢复:原有数据改名保留,不再询问
    #[arg(long)]
    replace: bool,
    /// 不恢复录音
    #[arg(long)]
    no_recordings: bool,
    /// 只把备份里的配置文件写到这个目录
    #[arg(long, value_name = "FOLDER")]
    settings_to: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
}

fn tell(line: String) {
    eprintln!("  {line}");
}

fn loaded(place: &Place) -> anyhow::Result<Configuration> {
    let configuration = load(place)?;
    setup::keep_time_zone(&configuration.settings)?;
    Ok(configuration)
}

/// Brings the database's schema up to date, after a backup.
pub async fn migrate(arguments: Migrate) -> anyhow::Result<ExitCode> {
    let Migrate { check, place } = arguments;
    let settings = loaded(&place)?.settings;
    let url = settings.database_url.expose();
    let found = match schema_version(url).await.context("see [database] url")? {
        None | Some(0) => {
            println!("还没有数据库:启动时按结构版本 {SCHEMA_VERSION} 建立。(no database yet)");
            return Ok(ExitCode::SUCCESS);
        }
        Some(SCHEMA_VERSION) => {
            println!("数据库结构版本 {SCHEMA_VERSION},已是最新。(the schema is up to date)");
            return Ok(ExitCode::SUCCESS);
        }
        Some(found) => found,
    };
    if check {
        println!(
            "数据库结构版本 {found},本程序需要 {SCHEMA_VERSION}:请停止 hotline,运行 hotline migrate。(the schema is older)"
        );
        return Ok(ExitCode::FAILURE);
    }
    let _folder = DataFolder::take(&settings.data_dir)?;
    let now = clock::now().wall;
    let copy = settings.data_dir.join(format!("before-schema-{SCHEMA_VERSION}-{}.tar", now.0));
    let saved = backup::backup(&settings, place.config.as_deref(), &copy, false, tell).await.context("the backup")?;
    println!("升级前的备份:{}", saved.path.display());
    schema_migrate(url, now).await?;
    println!("数据库结构版本 {found} → {SCHEMA_VERSION}。(the schema was brought forward)");
    Ok(ExitCode::SUCCESS)
}

/// Makes a backup, beside the program that may run.
pub async fn backup(arguments: Backup) -> anyhow::Result<ExitCode> {
    let Backup { to, no_recordings, place } = arguments;
    let settings = loaded(&place)?.settings;
    let saved = backup::backup(&settings, place.config.as_deref(), &to, !no_recordings, tell).await?;
    println!("{}", saved.manifest.describe());
    println!("{}:{} MB,SHA-256 {}", saved.path.display(), saved.octets.div_ceil(1 << 20), saved.sha256);
    println!(
        "录音密钥不在备份里:请把 {} 另存到别处,不与备份放在一起;没有它,录音无法播放。\n\
         (the recordings' key is not in the backup: keep a copy of it apart)",
        settings.recording.key_file.display()
    );
    Ok(ExitCode::SUCCESS)
}

/// Restores a backup into the configuration's database and data folder.
pub async fn restore(arguments: Restore) -> anyhow::Result<ExitCode> {
    let Restore { file, replace, no_recordings, settings_to, place } = arguments;
    if let Some(folder) = settings_to {
        let count = backup::settings_to(&file, &folder)?;
        println!("{count} 个配置文件写到 {}。", folder.display());
        return Ok(ExitCode::SUCCESS);
    }
    let settings = loaded(&place)?.settings;
    let _folder = DataFolder::take(&settings.data_dir)?;
    eprintln!("  核对备份……");
    let restoring = Restoring::check(&file, &settings, !no_recordings).await?;
    let what = restoring.manifest.describe();
    println!("{what}");
    if !restoring.in_the_way.is_empty() && !replace && !agreed(&restoring.in_the_way)? {
        bail!(
            "目标不是空的:{}。没有作任何改动;确要恢复请加 --replace(原有数据改名保留)。(the target is not empty; nothing was changed)",
            restoring.in_the_way.join("、")
        );
    }
    backup::restore(restoring, &settings, tell).await?;
    let store = setup::open_store(&settings).await?;
    store.audit_append("system", "database.restore", &file.display().to_string(), &what, clock::now().wall).await?;
    store.close().await;
    println!("已恢复。可以启动 hotline。(restored)");
    Ok(ExitCode::SUCCESS)
}

/// Asks a person; false where there is none.
fn agreed(in_the_way: &[String]) -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() {
        return Ok(false);
    }
    print!("目标不是空的:{}。原有数据将改名保留。继续请输入 yes:", in_the_way.join("、"));
    std::io::stdout().flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(answer.trim() == "yes")
}
