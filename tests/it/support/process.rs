//! What the kernel says of a process.

/// Memory that it has in RAM, in KiB.
pub(crate) fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it is alive");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.expect("a number of KiB")
}

/// Processor time that it has used, in ticks of 10 ms.
pub(crate) fn ticks(pid: u32) -> u64 {
    ticks_in(&format!("/proc/{pid}/stat"))
}

/// The same of the calling thread.
pub(crate) fn own_ticks() -> u64 {
    ticks_in("/proc/thread-self/stat")
}

fn ticks_in(file: &str) -> u64 {
    let stat = std::fs::read_to_string(file).expect("it is alive");
    // After the name, which may hold anything, the 12th and 13th field are times in user and in system mode.
    let (_, fields) = stat.rsplit_once(')').expect("a name");
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let number = |at: usize| -> u64 { fields[at].parse().expect("a number") };
    number(11) + number(12)
}

/// Whether none of its threads runs, since it was told to stop.
pub(crate) fn is_stopped(pid: u32) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).expect("it is alive");
    let mut states = threads.map(|thread| {
        let stat = std::fs::read_to_string(thread.expect("an entry").path().join("stat"));
        // The first field after the name. A thread that has ended meanwhile has none.
        let (_, fields) = stat.as_deref().unwrap_or(") T").rsplit_once(')')?;
        fields.split_whitespace().next().map(str::to_owned)
    });
    states.all(|state| state.as_deref() == Some("T"))
}
