//! A copy of a store as it is at one moment, while a gateway goes on writing.
//!
//! Invariants: a file under the name that was asked for is whole, checked and synced, or it is not there; nothing is
//! overwritten. The copy is read in one transaction, which keeps the log from starting over: it ends when the log has
//! grown by as much as it may.

use super::check::{self, Report};
use super::{OpenError, directory, probe};
use rusqlite::{
    Connection,
    backup::{Backup, StepResult},
    config::DbConfig,
};
use std::{
    fs::{DirBuilder, File},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

/// Pages that are copied between two looks at the log.
const STEP_PAGES: std::ffi::c_int = 1_000;

/// A backup that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// Where.
    pub file: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// What a check of the copy says. A damaged store has damaged copies.
    pub report: Report,
}

/// Copies the store in `directory` to a file, or as `hookgate.db` into a directory. `progress` is told pages that are
/// copied, and of how many.
pub fn backup(
    directory: &Path,
    to: &Path,
    log_growth_bytes: u64,
    mut progress: impl FnMut(u64, u64),
) -> Result<Made, OpenError> {
    let path = probe::database(directory);
    let (connection, _) = probe::open_ours(directory)?;
    let file = place(to)?;
    let parent = directory::parent(&file);
    // Readable by its owner alone from its first byte on, as the store is.
    let copy = tempfile::Builder::new()
        .prefix(".hookgate-backup-")
        .tempfile_in(parent)
        .map_err(OpenError::io(parent, "make a file"))?
        .into_temp_path();
    let growth = check::Growth::new(directory, log_growth_bytes);
    let copied = copy_pages(&connection, &copy, &mut progress, &growth)
        .map_err(OpenError::sqlite(&path, "copy the database"))?;
    drop(connection);
    if !copied {
        let why = format!(
            "not backed up: the log had grown by {log_growth_bytes} bytes before all was copied; \
             do it when less is received, or allow more"
        );
        return Err(OpenError::format(&path, why));
    }
    let report = check::check_still(&copy)?;
    let bytes = File::open(&copy)
        .and_then(|copy| {
            copy.sync_all()?;
            Ok(copy.metadata()?.len())
        })
        .map_err(OpenError::io(&file, "sync"))?;
    copy.persist_noclobber(&file)
        .map_err(|e| OpenError::io(&file, "name the copy")(e.error))?;
    directory::sync_directory(parent)?;
    Ok(Made {
        file,
        bytes,
        report,
    })
}

/// The file that is asked for; a directory is made if its name says that it is one.
fn place(to: &Path) -> Result<PathBuf, OpenError> {
    let says_directory = to.as_os_str().as_encoded_bytes().ends_with(b"/");
    if says_directory && !to.exists() {
        DirBuilder::new()
            .mode(0o700)
            .create(to)
            .map_err(OpenError::io(to, "make the directory"))?;
        directory::sync_directory(directory::parent(to))?;
    }
    let file = if to.is_dir() {
        probe::database(to)
    } else {
        to.to_owned()
    };
    match file.symlink_metadata() {
        Ok(_) => Err(OpenError::format(
            &file,
            "exists already; nothing is overwritten".into(),
        )),
        Err(_) => Ok(file),
    }
}

/// False if the log has grown too much meanwhile.
fn copy_pages(
    from: &Connection,
    to: &Path,
    progress: &mut impl FnMut(u64, u64),
    growth: &check::Growth,
) -> rusqlite::Result<bool> {
    // All steps see what this sees first.
    let moment = from.unchecked_transaction()?;
    moment.query_row("SELECT count(*) FROM meta", [], |_| Ok(()))?;
    let mut copy = Connection::open(to)?;
    copy.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    // What fails is thrown away, and what succeeds is synced as a whole.
    copy.pragma_update(None, "synchronous", "OFF")?;
    copy.pragma_update_and_check(None, "journal_mode", "OFF", |_| Ok(()))?;
    {
        let steps = Backup::new(from, &mut copy)?;
        loop {
            let step = steps.step(STEP_PAGES)?;
            let pages = steps.progress();
            let number = |pages: std::ffi::c_int| u64::try_from(pages).unwrap_or(0);
            progress(
                number(pages.pagecount - pages.remaining),
                number(pages.pagecount),
            );
            match step {
                StepResult::Done => break,
                _ if growth.is_too_much() => return Ok(false),
                _ => {}
            }
        }
    }
    copy.close().map_err(|(_, error)| error)?;
    moment.finish()?;
    Ok(true)
}
