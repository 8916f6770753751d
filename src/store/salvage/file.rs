//! The file to save from: a copy of what is damaged, with its log laid over it, made such that SQLite opens it.
//!
//! Invariant: the original is only read. The copy's header says what every store's says, whatever the original's said.

use super::Salvaged;
use crate::store::frames::{self, Applied};
use crate::store::{OpenError, probe, schema};
use rusqlite::Connection;
use std::{
    fs::{File, OpenOptions, Permissions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

/// Copies the database, lays the log over the copy, and mends its header. The gateway is stopped, and this process
/// has no connection to it: opening the file by hand harms nobody.
pub(super) fn copy_by_hand(directory: &Path, to: &Path) -> io::Result<Applied> {
    std::fs::copy(probe::database(directory), to)?;
    std::fs::set_permissions(to, Permissions::from_mode(0o600))?;
    let mut copy = OpenOptions::new().read(true).write(true).open(to)?;
    let page_bytes = page_bytes(&mut copy)?;
    let applied = frames::apply(&probe::log(directory), &mut copy, page_bytes)?;
    mend_header(&mut copy, page_bytes)?;
    Ok(applied)
}

/// As the header says, if that can be; else as every store of ours is made.
fn page_bytes(copy: &mut File) -> io::Result<usize> {
    let ours = u64::from(schema::PAGE_BYTES);
    let mut said = [0; 2];
    copy.seek(SeekFrom::Start(16))?;
    match copy.read_exact(&mut said) {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => {}
        Err(e) => return Err(e),
    }
    let said = match u64::from(u16::from_be_bytes(said)) {
        1 => 65_536,
        bytes => bytes,
    };
    let length = copy.metadata()?.len();
    let can_be = said.is_power_of_two() && said >= 512 && length.is_multiple_of(said);
    let bytes = if can_be { said } else { ours };
    Ok(usize::try_from(bytes).unwrap_or(usize::MAX))
}

/// The fields of a database's header are the same in every store, or can be counted
/// (<https://sqlite.org/fileformat2.html#the_database_header>). Free pages are of no use to a reader.
fn mend_header(copy: &mut File, page_bytes: usize) -> io::Result<()> {
    let pages = copy.metadata()?.len() / page_bytes as u64;
    let mut header = [0; 100];
    header[..16].copy_from_slice(b"SQLite format 3\0");
    // 1 stands for 65,536.
    let size = u16::try_from(page_bytes).unwrap_or(1);
    header[16..18].copy_from_slice(&size.to_be_bytes());
    // Not WAL: the log is in the file now. No bytes are reserved; the fractions are fixed.
    header[18..24].copy_from_slice(&[1, 1, 0, 64, 32, 32]);
    // The size counts while both change counters are equal.
    header[24..28].copy_from_slice(&1_u32.to_be_bytes());
    header[28..32].copy_from_slice(&u32::try_from(pages).unwrap_or(u32::MAX).to_be_bytes());
    header[40..44].copy_from_slice(&1_u32.to_be_bytes());
    header[44..48].copy_from_slice(&4_u32.to_be_bytes());
    header[56..60].copy_from_slice(&1_u32.to_be_bytes());
    header[68..72].copy_from_slice(&schema::APPLICATION_ID_BYTES);
    header[92..96].copy_from_slice(&1_u32.to_be_bytes());
    header[96..].copy_from_slice(&rusqlite::version_number().to_be_bytes());
    copy.seek(SeekFrom::Start(0))?;
    copy.write_all(&header)
}

/// Opens the copy. Where its first page does not say which tables are where, that of a new store does: the first tables
/// of all releases are made in the same order.
pub(super) fn open_copy(
    copy: &Path,
    work: &Path,
    saved: &mut Salvaged,
) -> Result<Connection, OpenError> {
    // A list of tables that makes no sense is an error already when it is opened.
    if let Ok(opened) = probe::open_still(copy)
        && schema::has_first_tables(&opened)
    {
        return Ok(opened);
    }
    let model = work.join("model.db");
    let mut made = Connection::open(&model).map_err(OpenError::sqlite(&model, "make a model"))?;
    schema::set_page_size(&made).map_err(OpenError::sqlite(&model, "set page_size"))?;
    schema::prepare(&mut made, &model, schema::Owner::Nobody)?;
    made.close()
        .map_err(|(_, e)| OpenError::sqlite(&model, "make a model")(e))?;
    let mend = || -> io::Result<()> {
        let page_bytes = usize::from(schema::PAGE_BYTES);
        let mut page = vec![0; page_bytes];
        File::open(&model)?.read_exact(&mut page)?;
        let mut copy = OpenOptions::new().read(true).write(true).open(copy)?;
        copy.seek(SeekFrom::Start(0))?;
        copy.write_all(&page)?;
        mend_header(&mut copy, page_bytes)
    };
    mend().map_err(OpenError::io(copy, "mend the first page"))?;
    saved.notes.push(
        "the list of tables was damaged: they were looked for where a new store has them".into(),
    );
    probe::open_still(copy)
}
