//! `hotline user`: the users whom the database keeps.

use crate::{Place, load};
use anyhow::{Context, bail};
use clap::{Args, Subcommand, ValueEnum};
use hotline::{
    app::{
        setup,
        users::{NewUser, Users},
    },
    store::{Keeper, OnRegister, UserRow},
    ticket::Role,
};
use std::{
    io::{self, BufRead, IsTerminal, Read, Write},
    mem::MaybeUninit,
    process::ExitCode,
};

#[derive(Subcommand)]
pub enum UserCommand {
    /// 列出所有用户,包括 hotline.toml 里写的
    List {
        #[command(flatten)]
        place: Place,
    },
    /// 添加用户;话务员和班长同时有了话机账号
    Add(Add),
    /// 修改密码(话机密码同时改),原有会话结束
    Passwd {
        /// 用户名或工号
        name: String,
        #[command(flatten)]
        password: Password,
        #[command(flatten)]
        place: Place,
    },
    /// 停用:不能登录,会话结束,话机不再注册;通话中的打完再退出
    Disable {
        /// 用户名或工号
        name: String,
        #[command(flatten)]
        place: Place,
    },
    /// 重新启用
    Enable {
        /// 用户名或工号
        name: String,
        #[command(flatten)]
        place: Place,
    },
    /// 删除;他经手的工单和记录仍在
    Remove {
        /// 用户名或工号
        name: String,
        /// 不再询问
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Args)]
pub struct Add {
    /// 用户名;话务员和班长写工号
    name: String,
    /// 角色:agent(话务员)、supervisor(班长)、dispatcher、reviewer、follow_up_agent、supervision_officer、
    /// quality_checker、knowledge_editor、collector、auditor、unit_clerk、unit_head、admin
    #[arg(long, value_parser = role)]
    role: Role,
    /// 姓名;不写则同用户名
    #[arg(long, value_name = "姓名")]
    display_name: Option<String>,
    /// 单位代码(unit_clerk、unit_head 必写)
    #[arg(long, value_name = "代码")]
    unit: Option<String>,
    /// 话机的用户名;不写则同工号
    #[arg(long, value_name = "分机")]
    extension: Option<String>,
    /// 技能和级别(1 至 9),例如 english=5;可写多次
    #[arg(long = "skill", value_name = "技能=级别", value_parser = skill)]
    skills: Vec<(String, u8)>,
    /// 话机注册后:nothing 不签入,sign-in 签入(示忙),ready 签入并示闲
    #[arg(long, value_enum, default_value_t = OnRegisterName::Nothing)]
    on_register: OnRegisterName,
    #[command(flatten)]
    password: Password,
    #[command(flatten)]
    place: Place,
}

#[derive(Args)]
pub struct Password {
    /// 从标准输入读一行作密码;不写则在终端上输入两遍,不回显
    #[arg(long)]
    password_stdin: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum OnRegisterName {
    Nothing,
    SignIn,
    Ready,
}

impl From<OnRegisterName> for OnRegister {
    fn from(name: OnRegisterName) -> Self {
        match name {
            OnRegisterName::Nothing => OnRegister::Nothing,
            OnRegisterName::SignIn => OnRegister::SignIn,
            OnRegisterName::Ready => OnRegister::Ready,
        }
    }
}

fn role(text: &str) -> Result<Role, String> {
    let known = Role::from_name(text).filter(|role| *role != Role::System);
    known.ok_or_else(|| "没有这个角色 (there is no such role)".to_owned())
}

fn skill(text: &str) -> Result<(String, u8), String> {
    let (name, level) = text.split_once('=').unwrap_or((text, "5"));
    let level = level.parse().ok().filter(|level| (1..=9).contains(level) && !name.is_empty());
    level.map(|level| (name.to_owned(), level)).ok_or_else(|| "写成 english=5,级别 1 至 9".to_owned())
}

const NOTICED: &str = "运行中的 hotline 在两秒内生效,不用重启 (a running hotline takes it up within two seconds)";

/// Carries out one of the commands.
pub async fn run(command: UserCommand) -> anyhow::Result<ExitCode> {
    match command {
        UserCommand::List { place } => {
            let users = open(&place).await?;
            print!("{}", table(&users.list().await?));
            users.close().await;
        }
        UserCommand::Add(add) => {
            let users = open(&add.place).await?;
            let new = NewUser {
                name: add.name,
                role: add.role,
                display_name: add.display_name,
                unit: add.unit,
                extension: add.extension,
                skills: add.skills.into_iter().collect(),
                on_register: add.on_register.into(),
            };
            for doubt in users.may_add(&new).await? {
                eprintln!("注意:{doubt}");
            }
            let said = format!("已添加 {} {}。{NOTICED}", new.role.zh(), new.name);
            let name = new.name.clone();
            users.add(new, &password(&add.password, &name)?).await?;
            done(users, &said).await;
        }
        UserCommand::Passwd { name, password: asked, place } => {
            let users = open(&place).await?;
            users.kept(&name).await?;
            users.set_password(&name, &password(&asked, &name)?).await?;
            done(users, &format!("{name} 的密码已修改,原有会话已结束。{NOTICED}")).await;
        }
        UserCommand::Disable { name, place } => {
            let users = open(&place).await?;
            users.set_active(&name, false).await?;
            done(users, &format!("{name} 已停用,会话已结束。{NOTICED}")).await;
        }
        UserCommand::Enable { name, place } => {
            let users = open(&place).await?;
            users.set_active(&name, true).await?;
            done(users, &format!("{name} 已启用。{NOTICED}")).await;
        }
        UserCommand::Remove { name, yes, place } => {
            let users = open(&place).await?;
            let row = users.kept(&name).await?;
            if !yes && !agreed(&row)? {
                bail!("没有删除;确要删除请加 --yes (nothing was removed)");
            }
            users.remove(&name).await?;
            done(users, &format!("{name} 已删除。{NOTICED}")).await;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn open(place: &Place) -> anyhow::Result<Users> {
    let configuration = load(place)?;
    setup::keep_time_zone(&configuration.settings)?;
    // SAFETY: it only gives a number.
    let uid = unsafe { libc::getuid() };
    Users::open(configuration, format!("hotline user, uid {uid}")).await
}

async fn done(users: Users, said: &str) {
    users.close().await;
    println!("{said}");
}

/// Asks a person; false where there is none.
fn agreed(row: &UserRow) -> anyhow::Result<bool> {
    if !io::stdin().is_terminal() {
        return Ok(false);
    }
    print!("删除 {}({},{})。继续请输入 yes:", row.name, row.display_name, row.role.zh());
    io::stdout().flush()?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(answer.trim() == "yes")
}

fn password(asked: &Password, name: &str) -> anyhow::Result<String> {
    if asked.password_stdin {
        return line();
    }
    if !io::stdin().is_terminal() {
        bail!("标准输入不是终端:用 --password-stdin 从标准输入读密码 (no terminal: use --password-stdin)");
    }
    let first = unseen(&format!("{name} 的密码:"))?;
    if unseen("再输入一遍:")? != first {
        bail!("两次输入的密码不同,没有作任何改动 (the passwords differ; nothing was changed)");
    }
    Ok(first)
}

/// A line of standard input without its end.
fn line() -> anyhow::Result<String> {
    let mut text = String::new();
    io::stdin().lock().read_line(&mut text).context("标准输入")?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// A line of the terminal that is not shown. Ctrl-C ends it as a line would, so that the terminal is put right again.
fn unseen(prompt: &str) -> anyhow::Result<String> {
    const CTRL_C: char = '\u{3}';
    let mut before = MaybeUninit::<libc::termios>::uninit();
    // SAFETY: the call fills the struct where it gives 0, and only then it is read.
    let before = unsafe {
        if libc::tcgetattr(libc::STDIN_FILENO, before.as_mut_ptr()) != 0 {
            return Err(io::Error::last_os_error()).context("终端");
        }
        before.assume_init()
    };
    let mut hidden = before;
    hidden.c_lflag &= !(libc::ECHO | libc::ISIG);
    hidden.c_cc[libc::VEOL] = CTRL_C as libc::cc_t;
    // SAFETY: both structs are whole.
    let set = |settings: &libc::termios| unsafe { libc::tcsetattr(libc::STDIN_FILENO, libc::TCSAFLUSH, settings) };
    if set(&hidden) != 0 {
        return Err(io::Error::last_os_error()).context("终端");
    }
    // What is typed before is thrown away: asked only now.
    eprint!("{prompt}");
    // The terminal gives one line at a time.
    let mut typed = [0; 1024];
    let read = io::stdin().read(&mut typed);
    set(&before);
    eprintln!();
    let text = String::from_utf8_lossy(&typed[..read.context("终端")?]).trim_end_matches(['\r', '\n']).to_owned();
    if text.contains(CTRL_C) {
        bail!("已取消,没有作任何改动 (cancelled)");
    }
    Ok(text)
}

/// All users in columns.
fn table(rows: &[UserRow]) -> String {
    let head = ["用户", "姓名", "角色", "单位", "分机", "状态", "管理"].map(str::to_owned);
    let line = |row: &UserRow| {
        let unit = row.unit.as_ref().map_or("-", |unit| unit.as_str());
        // The telephones of the settings' agents are in the settings.
        let extension = row.seat.as_ref().map_or("-", |seat| seat.extension.as_str());
        let state = if row.active { "启用" } else { "停用" };
        let keeper = if row.kept_by == Keeper::Database { "数据库" } else { "hotline.toml" };
        [row.name.as_str(), &row.display_name, row.role.zh(), unit, extension, state, keeper].map(str::to_owned)
    };
    let lines: Vec<_> = std::iter::once(head).chain(rows.iter().map(line)).collect();
    let widths: Vec<usize> = (0..lines[0].len())
        .map(|column| lines.iter().map(|line| width(&line[column])).max().unwrap_or_default())
        .collect();
    let padded = |line: &[String; 7]| {
        let cells = line.iter().zip(&widths).map(|(text, wide)| format!("{text}{}", " ".repeat(wide - width(text))));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    lines.iter().map(padded).collect()
}

/// Columns of a terminal: a Chinese character takes two.
fn width(text: &str) -> usize {
    text.chars().map(|c| if c >= '\u{1100}' { 2 } else { 1 }).sum()
}
