//! The worker processes as the coordinator sees them: started, spoken to, listened to, and never left behind.

use super::{
    SimulateError,
    protocol::{self, Order, Tale},
};
use std::{
    path::Path,
    process::{ExitStatus, Stdio},
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStdin, Command},
    sync::mpsc,
    time::timeout,
};

/// The hidden command that makes a process a worker.
pub const WORKER: &str = "simulate-worker";
/// How long a worker has to leave before it is ended.
const LEAVE: Duration = Duration::from_secs(6);

/// What comes from a worker.
#[derive(Debug)]
pub enum News {
    Tale(usize, Tale),
    /// Its stdout is closed: it is gone.
    Gone(usize),
}

/// One worker.
#[derive(Debug)]
struct Worker {
    child: Child,
    stdin: Option<ChildStdin>,
}

/// All workers; they are killed when this is dropped.
#[derive(Debug)]
pub struct Workers {
    workers: Vec<Worker>,
    news: mpsc::Receiver<News>,
}

/// Ties a child to this process: it has a process group of its own, so that Ctrl-C reaches the parent alone, and the
/// kernel kills it when the parent is gone, however that came about.
pub fn tie(command: &mut Command) {
    command.kill_on_drop(true).process_group(0);
    #[cfg(target_os = "linux")]
    // SAFETY: between fork and exec only this one system call is made, which allocates nothing and takes no lock.
    unsafe {
        command.pre_exec(|| {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            Ok(())
        });
    }
}

impl Workers {
    /// Starts so many of this program.
    pub fn start(program: &Path, count: usize) -> Result<Workers, SimulateError> {
        let (sender, news) = mpsc::channel(4096);
        let mut workers = Vec::new();
        for index in 0..count {
            let mut command = Command::new(program);
            command.arg(WORKER).stdin(Stdio::piped()).stdout(Stdio::piped());
            tie(&mut command);
            let mut child = command.spawn().map_err(|error| SimulateError::io(program.display(), error))?;
            let stdin = child.stdin.take();
            let stdout = child.stdout.take().ok_or_else(|| SimulateError::Said("工作进程没有输出".to_owned()))?;
            let sender = sender.clone();
            tokio::spawn(async move {
                let mut lines = BufReader::new(stdout).lines();
                while let Ok(Some(line)) = lines.next_line().await {
                    let tale = protocol::read::<Tale>(&line);
                    let tale = tale.unwrap_or_else(|| Tale::Trouble { what: format!("no tale: {line:.80}") });
                    if sender.send(News::Tale(index, tale)).await.is_err() {
                        return;
                    }
                }
                let _ = sender.send(News::Gone(index)).await;
            });
            workers.push(Worker { child, stdin });
        }
        Ok(Workers { workers, news })
    }

    /// How many there are, dead ones included.
    pub fn len(&self) -> usize {
        self.workers.len()
    }

    /// Tells one what to do; false when it is gone.
    pub async fn say(&mut self, index: usize, order: &Order) -> bool {
        let Some(stdin) = self.workers.get_mut(index).and_then(|worker| worker.stdin.as_mut()) else { return false };
        let line = protocol::write(order) + "\n";
        stdin.write_all(line.as_bytes()).await.is_ok()
    }

    /// Tells all of them.
    pub async fn say_all(&mut self, order: &Order) {
        for index in 0..self.len() {
            self.say(index, order).await;
        }
    }

    /// The next news of any of them.
    pub async fn news(&mut self) -> Option<News> {
        self.news.recv().await
    }

    /// Waits until all have left; who does not is killed. Their exits, in order.
    pub async fn leave(mut self) -> Vec<Option<ExitStatus>> {
        self.say_all(&Order::Leave).await;
        self.news.close();
        let mut exits = Vec::new();
        for worker in &mut self.workers {
            drop(worker.stdin.take());
            let exit = match timeout(LEAVE, worker.child.wait()).await {
                Ok(exit) => exit.ok(),
                Err(_) => {
                    let _ = worker.child.kill().await;
                    None
                }
            };
            exits.push(exit);
        }
        exits
    }
}
