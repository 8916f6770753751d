//! The write-ahead log read by hand, before SQLite does.
//!
//! SQLite ends its recovery at the first frame whose checksum is wrong, as if the log had been torn there, and says
//! nothing: a byte that flips in the middle would silently take every later commit with it. Each frame's checksum goes
//! on from that of the frame before, so what lies behind a damaged frame can still be told from what was never written.
//!
//! Invariant: a log that only a crash has cut short is never called damaged. The writer begins a transaction after the
//! last one is synced; so a frame that follows a later commit proves that everything before it had reached the disk.

use super::OpenError;
use std::{
    collections::HashSet,
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom, Write},
    path::Path,
};

/// Bytes of the log's own header, and of each frame's (<https://sqlite.org/fileformat2.html#walformat>).
const HEADER_BYTES: usize = 32;
const FRAME_HEADER_BYTES: usize = 24;

/// `magic` of the header; its last bit says how the words of checksums are read.
const MAGIC: u32 = 0x377f_0682;

/// The largest page that SQLite knows.
const PAGE_BYTES_MAX: usize = 65_536;

/// What recovery will make of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// There is none, or every frame of it counts.
    Whole,
    /// It ends in a commit that is not whole: a crash while it was written.
    Torn {
        /// Which frame of the log, counted from 0.
        frame: u64,
    },
    /// Commits lie behind a damaged frame.
    Damaged {
        /// Which frame of the log, counted from 0.
        frame: u64,
    },
}

/// One frame.
#[derive(Debug)]
struct Frame {
    page_number: u32,
    /// Pages of the database after the commit that this frame ends; 0 inside a transaction.
    commit_pages: u32,
    /// Its checksum goes on from the frame before, whether or not that one is right.
    chained: bool,
    /// It has the log's salts: not left over from an earlier round.
    of_this_round: bool,
}

/// How the words of checksums are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Big,
    Little,
}

impl Order {
    /// That of this machine.
    const NATIVE: Self = if cfg!(target_endian = "big") {
        Self::Big
    } else {
        Self::Little
    };
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Checksum(u32, u32);

impl Checksum {
    /// Goes on over `bytes`, a whole number of 8-byte pairs.
    fn over(self, bytes: &[u8], order: Order) -> Self {
        let (words, _) = bytes.as_chunks::<4>();
        let word = |word: [u8; 4]| match order {
            Order::Big => u32::from_be_bytes(word),
            Order::Little => u32::from_le_bytes(word),
        };
        let (pairs, _) = words.as_chunks::<2>();
        pairs.iter().fold(self, |Self(one, two), [first, second]| {
            let one = one.wrapping_add(word(*first)).wrapping_add(two);
            let two = two.wrapping_add(word(*second)).wrapping_add(one);
            Self(one, two)
        })
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    match bytes.get(at..).and_then(|rest| rest.first_chunk()) {
        Some(word) => u32::from_be_bytes(*word),
        None => 0,
    }
}

fn checksum_at(bytes: &[u8], at: usize) -> Checksum {
    Checksum(word(bytes, at), word(bytes, at + 4))
}

fn salts_at(bytes: &[u8], at: usize) -> Option<[u8; 8]> {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).copied()
}

/// A log, frame by frame.
#[derive(Debug)]
struct Frames<R> {
    log: R,
    order: Order,
    /// Of this round of the log. Where the header is damaged nobody knows them before the first frame that goes on from
    /// what goes before it: that one has them.
    salts: Option<[u8; 8]>,
    /// Stored with the frame before.
    before: Checksum,
    /// What should be stored with a damaged header: what is stored may be what is wrong.
    counted: Option<Checksum>,
    /// Whether the header is as it was written.
    header_is_whole: bool,
    /// Whether it is nothing but zeros, as where nothing was ever written.
    header_is_blank: bool,
    buffer: Vec<u8>,
}

impl<R: Read> Frames<R> {
    /// Reads the header; `None` if the log holds nothing. A damaged header does not hide the frames behind it.
    fn open(mut log: R, page_bytes: usize) -> io::Result<Option<Self>> {
        let mut header = Vec::new();
        log.by_ref()
            .take(HEADER_BYTES as u64)
            .read_to_end(&mut header)?;
        if header.len() < HEADER_BYTES {
            return Ok(None);
        }
        let stored = checksum_at(&header, 24);
        let magic = word(&header, 0);
        // The checksum of nothing but zeros is zero.
        let orders = [Order::Big, Order::Little];
        let right = orders.into_iter().find(|order| {
            magic & !1 == MAGIC && Checksum(0, 0).over(&header[..24], *order) == stored
        });
        let said = if magic & 1 == 1 {
            Order::Big
        } else {
            Order::Little
        };
        // A flipped byte may be in the order, too: then that of this machine, which wrote the log, is the likely one.
        let order = right.unwrap_or(Order::NATIVE);
        let page_bytes = match right {
            Some(_) => word(&header, 8) as usize,
            None => page_bytes,
        };
        let header_is_whole = right == Some(said);
        Ok(Some(Self {
            log,
            order,
            salts: salts_at(&header, 16).filter(|_| header_is_whole),
            before: stored,
            counted: (!header_is_whole).then(|| Checksum(0, 0).over(&header[..24], order)),
            header_is_whole,
            header_is_blank: header.iter().all(|byte| *byte == 0),
            buffer: vec![0; FRAME_HEADER_BYTES + page_bytes.min(PAGE_BYTES_MAX)],
        }))
    }

    /// The next frame; its page is in the buffer then.
    fn next(&mut self) -> io::Result<Option<Frame>> {
        match self.log.read_exact(&mut self.buffer) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(e) => return Err(e),
        }
        let stored = checksum_at(&self.buffer, 16);
        let goes_on_from = |before: Checksum| {
            let sum = before
                .over(&self.buffer[..8], self.order)
                .over(&self.buffer[FRAME_HEADER_BYTES..], self.order);
            sum == stored
        };
        let counted = self.counted.take();
        // No page has the number 0, but zeros go on from zeros.
        let page_number = word(&self.buffer, 0);
        let chained =
            page_number != 0 && (goes_on_from(self.before) || counted.is_some_and(goes_on_from));
        let salts = salts_at(&self.buffer, 8);
        if self.salts.is_none() && chained {
            self.salts = salts;
        }
        self.before = stored;
        Ok(Some(Frame {
            page_number,
            commit_pages: word(&self.buffer, 4),
            chained,
            of_this_round: salts == self.salts,
        }))
    }

    fn page(&self) -> &[u8] {
        &self.buffer[FRAME_HEADER_BYTES..]
    }
}

/// How often a log is looked at that starts over meanwhile.
const LOOKS_MAX: usize = 5;

/// Looks at the log. Reading this file by hand harms nobody: SQLite's locks are on the others. A gateway may be
/// writing it.
pub(super) fn look(log: &Path, page_bytes: usize) -> Result<Verdict, OpenError> {
    let mut verdict = Verdict::Whole;
    for _ in 0..LOOKS_MAX {
        let before = header(log)?;
        let Some(file) = open(log)? else {
            return Ok(Verdict::Whole);
        };
        verdict = judge(BufReader::with_capacity(1 << 20, file), page_bytes)
            .map_err(OpenError::io(log, "read the log"))?;
        // A log that started over is half an old one: only its header tells.
        if before == header(log)? {
            return Ok(verdict);
        }
    }
    Ok(match verdict {
        Verdict::Damaged { frame } => Verdict::Torn { frame },
        verdict => verdict,
    })
}

fn open(log: &Path) -> Result<Option<File>, OpenError> {
    match File::open(log) {
        Ok(file) => Ok(Some(file)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(OpenError::io(log, "open the log")(e)),
    }
}

fn header(log: &Path) -> Result<Vec<u8>, OpenError> {
    let mut header = Vec::new();
    if let Some(file) = open(log)? {
        file.take(HEADER_BYTES as u64)
            .read_to_end(&mut header)
            .map_err(OpenError::io(log, "read the log"))?;
    }
    Ok(header)
}

fn judge(log: impl Read, page_bytes: usize) -> io::Result<Verdict> {
    let Some(mut frames) = Frames::open(log, page_bytes)? else {
        return Ok(Verdict::Whole);
    };
    let mut number = 0;
    // The first frame that does not count, and whether it is one of this round at all.
    let mut bad = (!frames.header_is_whole).then_some((0, true));
    // Whether a commit has ended behind it, and the pages since the last commit before it.
    let mut has_ended = bad.is_some();
    let mut pages = HashSet::new();
    while let Some(frame) = frames.next()? {
        // SQLite syncs the header before it writes the first frame: no crash leaves frames without one.
        if frames.header_is_blank && frames.buffer.iter().any(|byte| *byte != 0) {
            return Ok(Verdict::Damaged { frame: 0 });
        }
        // Salts are in no checksum: a frame that chains is of this round whatever it says, unless old ones go before.
        let of_this_round = frame.of_this_round || !frames.header_is_whole;
        match bad {
            None if frame.chained && !of_this_round => {
                return Ok(Verdict::Damaged { frame: number });
            }
            None if frame.chained => {
                if frame.commit_pages == 0 {
                    // A transaction writes a page once.
                    pages.insert(frame.page_number);
                } else {
                    pages.clear();
                }
            }
            None => {
                bad = Some((number, of_this_round));
                has_ended = of_this_round && frame.commit_pages != 0;
                if of_this_round {
                    pages.insert(frame.page_number);
                }
            }
            Some((first, _)) if of_this_round => {
                if frame.chained && (has_ended || !pages.insert(frame.page_number)) {
                    return Ok(Verdict::Damaged { frame: first });
                }
                has_ended |= frame.commit_pages != 0;
            }
            Some(_) => {}
        }
        number += 1;
    }
    Ok(match bad {
        Some(_) if frames.header_is_blank => Verdict::Whole,
        Some((frame, true)) => Verdict::Torn { frame },
        Some((_, false)) | None => Verdict::Whole,
    })
}

/// What was laid over a copy of the database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Applied {
    /// Frames up to the last commit.
    pub(super) frames: u64,
    /// Of these, damaged ones, used nevertheless: most of such a page is good.
    pub(super) damaged: u64,
}

/// Writes the pages of the log into `database`, a copy, up to the last commit that can be made out.
pub(super) fn apply(log: &Path, database: &mut File, page_bytes: usize) -> io::Result<Applied> {
    let open = || -> io::Result<Option<Frames<BufReader<File>>>> {
        match File::open(log) {
            Ok(file) => Frames::open(BufReader::with_capacity(1 << 20, file), page_bytes),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    };
    let Some(mut frames) = open()? else {
        return Ok(Applied::default());
    };
    let (mut number, mut last_commit) = (0_u64, None);
    // Salts are in no checksum: a frame that goes on from one of this round is of it, whatever it says.
    let mut of_this_round = true;
    while let Some(frame) = frames.next()? {
        of_this_round = frame.of_this_round || (frame.chained && of_this_round);
        if of_this_round && frame.chained && frame.commit_pages != 0 {
            last_commit = Some((number, frame.commit_pages));
        }
        number += 1;
    }
    let (Some((last, pages)), Some(mut frames)) = (last_commit, open()?) else {
        return Ok(Applied::default());
    };
    let mut applied = Applied::default();
    while applied.frames <= last
        && let Some(frame) = frames.next()?
    {
        applied.frames += 1;
        let is_good = frame.chained && frame.of_this_round;
        applied.damaged += u64::from(!is_good);
        if (1..=pages).contains(&frame.page_number) {
            let at = u64::from(frame.page_number - 1) * page_bytes as u64;
            database.seek(SeekFrom::Start(at))?;
            database.write_all(frames.page())?;
        }
    }
    database.set_len(u64::from(pages) * page_bytes as u64)?;
    Ok(applied)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::Connection;
    use std::path::PathBuf;
    use tempfile::TempDir;

    const PAGE_BYTES: usize = 4096;
    const FRAME_BYTES: usize = FRAME_HEADER_BYTES + PAGE_BYTES;

    /// A database with a log as a crash leaves them: so many new rows a round of the log, a commit each, and where there are
    /// none a change of one, which is one frame. Returns where the database is, and the log.
    fn crashed(rounds: &[u32]) -> (TempDir, PathBuf, Vec<u8>) {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.db");
        let connection = Connection::open(&path).expect("opened");
        connection
            .execute_batch(
                "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; CREATE TABLE t (n, b)",
            )
            .expect("made");
        for (round, rows) in rounds.iter().enumerate() {
            if round > 0 {
                connection
                    .execute_batch("PRAGMA wal_checkpoint(RESTART)")
                    .expect("started over");
            }
            for n in 0..*rows {
                connection
                    .execute("INSERT INTO t VALUES (?1, randomblob(3000))", [n])
                    .expect("written");
            }
            if *rows == 0 {
                connection
                    .execute("UPDATE t SET n = -1 WHERE rowid = 1", [])
                    .expect("written");
            }
        }
        // Copied while it is open: the last connection to close would write the log's pages into the database.
        let database = directory.path().join("crashed.db");
        std::fs::copy(&path, &database).expect("copied");
        let log = std::fs::read(directory.path().join("a.db-wal")).expect("read");
        drop(connection);
        (directory, database, log)
    }

    /// What becomes of a copy of the database, with this log laid over it.
    fn laid_over(directory: &TempDir, database: &Path, log: &[u8]) -> (Applied, Vec<u8>) {
        let [copy, laid] = ["copy.db", "laid.db-wal"].map(|name| directory.path().join(name));
        std::fs::copy(database, &copy).expect("copied");
        std::fs::write(&laid, log).expect("written");
        let mut file = File::options().write(true).open(&copy).expect("opened");
        let applied = apply(&laid, &mut file, PAGE_BYTES).expect("applied");
        (applied, std::fs::read(&copy).expect("read"))
    }

    /// The rows of a database.
    fn rows(directory: &TempDir, database: &[u8]) -> i64 {
        let path = directory.path().join("rows.db");
        std::fs::write(&path, database).expect("written");
        Connection::open(&path)
            .and_then(|copy| copy.query_row("SELECT count(*) FROM t", [], |row| row.get(0)))
            .expect("read")
    }

    /// Frames of this round: the rest is of an earlier one.
    fn current(bytes: &[u8]) -> usize {
        let salts = &bytes[16..24];
        bytes[HEADER_BYTES..]
            .chunks_exact(FRAME_BYTES)
            .take_while(|frame| frame[8..16] == *salts)
            .count()
    }

    #[test]
    fn a_log_that_was_only_cut_short_is_never_damaged() {
        let (_directory, _, bytes) = crashed(&[10, 10]);
        let whole = HEADER_BYTES + current(&bytes) * FRAME_BYTES;
        for length in (0..whole).step_by(509).chain([whole, bytes.len()]) {
            let verdict = judge(&bytes[..length], PAGE_BYTES).expect("read");
            assert_eq!(verdict, Verdict::Whole, "cut at {length}");
        }
        // A write that was torn: part of the last frame is on the disk.
        let mut torn = bytes[..whole].to_vec();
        torn[whole - PAGE_BYTES / 2..].fill(0);
        let frame = current(&bytes) as u64 - 1;
        let verdict = judge(&torn[..], PAGE_BYTES).expect("read");
        assert_eq!(verdict, Verdict::Torn { frame });
    }

    #[test]
    fn a_flipped_byte_before_the_last_commit_is_damage() {
        let (_directory, _, bytes) = crashed(&[10, 10]);
        let frames = current(&bytes);
        assert!(frames > 10, "{frames}");
        let commits: Vec<usize> = (0..frames)
            .filter(|n| word(&bytes, HEADER_BYTES + n * FRAME_BYTES + 4) != 0)
            .collect();
        let before_the_last = HEADER_BYTES + (commits[commits.len() - 2] + 1) * FRAME_BYTES;
        let mut random = fastrand::Rng::with_seed(4);
        for round in 0..400 {
            let at = if round < HEADER_BYTES {
                round
            } else {
                random.usize(..before_the_last)
            };
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << random.u8(..8);
            let verdict = judge(&flipped[..], PAGE_BYTES).expect("read");
            assert!(
                matches!(verdict, Verdict::Damaged { .. }),
                "byte {at}: {verdict:?}"
            );
        }
        for at in (before_the_last..HEADER_BYTES + frames * FRAME_BYTES).step_by(61) {
            let mut flipped = bytes.clone();
            flipped[at] ^= 0x10;
            let verdict = judge(&flipped[..], PAGE_BYTES).expect("read");
            assert_ne!(verdict, Verdict::Whole, "byte {at}: at least it is said");
        }
    }

    #[test]
    fn a_damaged_log_is_laid_over_a_copy_nevertheless() {
        let (directory, database, mut bytes) = crashed(&[10, 10]);
        let frames = current(&bytes) as u64;
        bytes[HEADER_BYTES + 3 * FRAME_BYTES + FRAME_HEADER_BYTES + 4000] ^= 1;
        let (applied, copy) = laid_over(&directory, &database, &bytes);
        assert_eq!(applied, Applied { frames, damaged: 1 });
        assert_eq!(rows(&directory, &copy), 20);
    }

    #[test]
    fn a_commit_whose_salts_are_damaged_is_laid_over() {
        let (directory, database, bytes) = crashed(&[20, 3]);
        let frames = current(&bytes);
        let (_, expected) = laid_over(&directory, &database, &bytes);
        for frame in 0..frames {
            for at in 8..16 {
                let mut flipped = bytes.clone();
                flipped[HEADER_BYTES + frame * FRAME_BYTES + at] ^= 1 << (at % 8);
                let (applied, copy) = laid_over(&directory, &database, &flipped);
                let frames = frames as u64;
                assert_eq!(applied, Applied { frames, damaged: 1 }, "frame {frame}");
                assert!(copy == expected, "frame {frame}");
            }
        }
    }

    /// Each byte of a log's header, flipped.
    fn flipped_headers(log: &[u8]) -> impl Iterator<Item = (usize, Vec<u8>)> {
        (0..HEADER_BYTES).map(|at| {
            let mut flipped = log.to_vec();
            flipped[at] ^= 1 << (at % 8);
            (at, flipped)
        })
    }

    #[test]
    fn nothing_of_an_earlier_round_is_laid_over_whatever_the_header_says() {
        for rounds in [&[20, 8, 3][..], &[20, 0], &[3, 20]] {
            let (directory, database, bytes) = crashed(rounds);
            let whole = Applied {
                frames: current(&bytes) as u64,
                damaged: 0,
            };
            assert_eq!(whole.frames == 1, rounds.ends_with(&[0]), "{whole:?}");
            let (applied, expected) = laid_over(&directory, &database, &bytes);
            assert_eq!(applied, whole);
            let written: u32 = rounds.iter().sum();
            assert_eq!(rows(&directory, &expected), i64::from(written));
            for (at, flipped) in flipped_headers(&bytes) {
                let (applied, copy) = laid_over(&directory, &database, &flipped);
                assert_eq!(applied, whole, "byte {at} of {rounds:?}");
                assert!(copy == expected, "byte {at} of {rounds:?}");
            }
        }

        // The first sector is gone, and the salts of the first frame with it.
        let (directory, database, mut bytes) = crashed(&[20, 8, 3]);
        let frames = current(&bytes) as u64;
        bytes[..512].iter_mut().for_each(|byte| *byte = !*byte);
        let (applied, _) = laid_over(&directory, &database, &bytes);
        // The second does not go on from it.
        assert_eq!(applied, Applied { frames, damaged: 2 });
    }

    #[test]
    fn a_damaged_header_hides_no_commit_even_of_one_frame() {
        let (_directory, _, mut bytes) = crashed(&[20, 0]);
        assert_eq!(current(&bytes), 1);
        bytes.truncate(HEADER_BYTES + FRAME_BYTES);
        for (at, flipped) in flipped_headers(&bytes) {
            let verdict = judge(&flipped[..], PAGE_BYTES).expect("read");
            assert_eq!(verdict, Verdict::Damaged { frame: 0 }, "byte {at}");
        }
    }

    #[test]
    fn frames_behind_a_header_of_zeros_are_no_empty_log() {
        for (rounds, zeros, damaged) in [
            (&[20, 8, 3][..], HEADER_BYTES, Some(1)),
            (&[20, 8, 3], 512, Some(2)),
            // An only frame goes on from nothing that is left: it can't be told from chance.
            (&[20, 0], HEADER_BYTES, None),
            (&[20, 0], 512, None),
        ] {
            let (directory, database, mut bytes) = crashed(rounds);
            let frames = current(&bytes);
            bytes.truncate(HEADER_BYTES + frames * FRAME_BYTES);
            let (_, whole) = laid_over(&directory, &database, &bytes);
            bytes[..zeros].fill(0);
            let verdict = judge(&bytes[..], PAGE_BYTES).expect("read");
            assert_eq!(verdict, Verdict::Damaged { frame: 0 }, "{rounds:?}");
            let (applied, copy) = laid_over(&directory, &database, &bytes);
            let expected = damaged.map_or(Applied::default(), |damaged| Applied {
                frames: frames as u64,
                damaged,
            });
            assert_eq!(applied, expected, "{rounds:?}");
            // The page of the first frame comes again in a later one.
            assert_eq!(copy == whole, damaged.is_some(), "{rounds:?}");
        }

        // A file that was made longer before anything was written to it.
        for frames in [0, 1, 5] {
            let zeros = vec![0; HEADER_BYTES + frames * FRAME_BYTES];
            let verdict = judge(&zeros[..], PAGE_BYTES).expect("read");
            assert_eq!(verdict, Verdict::Whole);
        }
    }

    /// A header that a new round has begun with, and no frame of it yet: what lies behind is in the database already.
    #[test]
    fn an_earlier_round_alone_changes_nothing() {
        let (directory, database, mut bytes) = crashed(&[3, 20]);
        let frames = current(&bytes);
        bytes.truncate(HEADER_BYTES + frames * FRAME_BYTES);
        let (_, checkpointed) = laid_over(&directory, &database, &bytes);
        std::fs::write(&database, &checkpointed).expect("written");
        bytes[16..24].fill(7);
        let Checksum(one, two) = Checksum(0, 0).over(&bytes[..24], Order::NATIVE);
        bytes[24..28].copy_from_slice(&one.to_be_bytes());
        bytes[28..32].copy_from_slice(&two.to_be_bytes());
        let (applied, copy) = laid_over(&directory, &database, &bytes);
        assert_eq!(applied, Applied::default());
        assert!(copy == checkpointed);
        for (at, flipped) in flipped_headers(&bytes) {
            let (_, copy) = laid_over(&directory, &database, &flipped);
            assert!(copy == checkpointed, "byte {at}");
        }
    }
}
