//! Reads the configuration anew: at SIGHUP, when an operator asks, when a file has changed, and when a handshake has
//! brought a secret. One at a time, all of it or nothing, and every problem is said.
//!
//! Files are looked at by what the system says of them (`config/files`), every few seconds: that works on every file
//! system and for every way of exchanging a file, and costs a few calls. A change is used once two looks have found the
//! same, so that no file is read half written; and what was bad is not read again before it changes, so that it is
//! complained about once.

use super::running::{NotApplied, Running};
use crate::admin::{NotReloaded, Reloaded};
use crate::config::environment::Environment;
use crate::config::files::Files;
use crate::config::load::{Notes, Options, Origin, load_noting};
use crate::config::{Config, problem::Problem};
use crate::receive::Receive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::Signal;
use tokio::task::spawn_blocking;

/// Where a configuration comes from.
#[derive(Clone, Debug)]
pub struct Basis {
    /// Its file, or its text.
    pub origin: Origin,
    /// The file of variables.
    pub env_file: Option<PathBuf>,
}

/// A reading, and what was read for it.
pub struct Reading {
    /// The configuration with its warnings, or everything that is wrong.
    pub result: Result<(Config, Vec<Problem>), Vec<Problem>>,
    /// Text and files.
    pub notes: Notes,
}

impl Basis {
    /// Reads it.
    pub fn read(&self) -> Reading {
        let mut notes = Notes::default();
        if let Some(path) = &self.env_file {
            notes.files.note(path);
        }
        if let Origin::File(path) = &self.origin {
            notes.files.note(path);
        }
        let result = Environment::read(self.env_file.as_deref()).and_then(|environment| {
            load_noting(&self.origin, &environment, Options::default(), &mut notes)
        });
        Reading { result, notes }
    }
}

/// The one who reads.
pub struct Reload {
    running: Arc<Running>,
    basis: Basis,
    /// The text of what runs.
    text: Origin,
    /// The files of the last reading, good or bad.
    files: Files,
    /// What the last look has found, if that was something else.
    seen: Option<Files>,
}

impl Reload {
    /// For a gateway that was started with what `notes` are of.
    pub fn new(running: Arc<Running>, basis: Basis, notes: Notes) -> Self {
        Self {
            running,
            text: notes.text.unwrap_or_else(|| basis.origin.clone()),
            basis,
            files: notes.files,
            seen: None,
        }
    }

    /// Reads whenever there is a reason to, for ever.
    pub async fn serve(mut self, mut hangups: Signal) {
        let running = Arc::clone(&self.running);
        running.reloads().serve();
        loop {
            tokio::select! {
                Some(()) = hangups.recv() => {
                    // What is wrong has been said.
                    let _ = self.all("SIGHUP").await;
                }
                asked = running.reloads().asked() => {
                    let reloaded = self.all("POST /-/reload").await;
                    // Whoever asked may be gone.
                    let _ = asked.send(reloaded);
                }
                waiting = running.learned() => {
                    if let Some(receive) = self.secrets().await {
                        // The vendor may be gone.
                        let _ = waiting.send(receive);
                    }
                }
                () = pause(running.watch()) => self.look().await,
            }
        }
    }

    /// Looks at the files.
    async fn look(&mut self) {
        let files = self.files.clone();
        let Ok(now) = spawn_blocking(move || files.now()).await else {
            return;
        };
        if now == self.files {
            self.seen = None;
        } else if self.seen.as_ref() == Some(&now) {
            let changed = now.differing(&self.files).join(", ");
            // What is wrong has been said.
            let _ = self.all(&format!("change of {changed}")).await;
        } else {
            self.seen = Some(now);
        }
    }

    /// Reads everything and uses it.
    async fn all(&mut self, why: &str) -> Result<Reloaded, NotReloaded> {
        let Reading { result, notes } = self.read(self.basis.clone()).await?;
        self.files = notes.files;
        self.seen = None;
        let (hash, _) = self.apply(result, why).await?;
        if let Some(text) = notes.text {
            self.text = text;
        }
        Ok(Reloaded { hash })
    }

    /// Reads the files of secrets and of variables, for the text that runs: a vendor that has just brought its secret does
    /// not wait until whoever edits the configuration is done.
    async fn secrets(&mut self) -> Option<Arc<Receive>> {
        let basis = Basis {
            origin: self.text.clone(),
            env_file: self.basis.env_file.clone(),
        };
        let Reading { result, notes } = self.read(basis).await.ok()?;
        self.files.update(notes.files);
        let applied = self.apply(result, "secret of a handshake").await;
        applied.ok().map(|(_, receive)| receive)
    }

    async fn read(&self, basis: Basis) -> Result<Reading, NotReloaded> {
        spawn_blocking(move || basis.read()).await.map_err(|error| {
            tracing::error!(%error, "reading the configuration has panicked by a defect in hookgate; please report it");
            self.running.not_applied();
            NotReloaded::Unavailable("reading the configuration has failed by a defect".to_owned())
        })
    }

    async fn apply(
        &self,
        read: Result<(Config, Vec<Problem>), Vec<Problem>>,
        why: &str,
    ) -> Result<(String, Arc<Receive>), NotReloaded> {
        let not_reloaded = match read {
            Ok((config, warnings)) => {
                for warning in warnings {
                    tracing::warn!("{warning}");
                }
                let hash = config.hash.clone();
                match self.running.apply(config).await {
                    Ok(receive) => {
                        tracing::info!(why, hash, "configuration was read anew, and is in use");
                        return Ok((hash, receive));
                    }
                    Err(NotApplied::Restart(fixed)) => NotReloaded::Restart(fixed),
                    Err(error) => NotReloaded::Unavailable(error.to_string()),
                }
            }
            Err(problems) => {
                NotReloaded::Invalid(problems.iter().map(ToString::to_string).collect())
            }
        };
        self.running.not_applied();
        match &not_reloaded {
            NotReloaded::Invalid(problems) | NotReloaded::Restart(problems) => {
                for problem in problems {
                    tracing::error!("{problem}");
                }
            }
            NotReloaded::Unavailable(error) => tracing::error!("{error}"),
        }
        tracing::error!(
            why,
            "nothing was changed; the present configuration stays in use"
        );
        Err(not_reloaded)
    }
}

/// Waits for the next look; for ever where there is none.
async fn pause(watch: Duration) {
    if watch.is_zero() {
        return std::future::pending().await;
    }
    tokio::time::sleep(watch).await;
}
