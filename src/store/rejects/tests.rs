//! The ring through its door: real files, its real thread.

use super::*;
use crate::store::directory::Directory;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// How long anything may take before a test fails.
const PATIENCE: Duration = Duration::from_secs(20);

type Sources = Vec<RejectSource>;

fn source(name: &str, replaces: Option<&str>, bounds: Option<(usize, u64)>) -> RejectSource {
    let rejects = bounds.map(|(keep, max_size_bytes)| config::Rejects {
        keep,
        max_size_bytes,
    });
    RejectSource {
        name: name.into(),
        replaces: replaces.map(Into::into),
        rejects,
    }
}

fn one(keep: usize, max_size_bytes: u64) -> Sources {
    vec![source("erp", None, Some((keep, max_size_bytes)))]
}

fn start(path: &Path, sources: Sources) -> (Rejects, Arc<Metrics>) {
    let directory = Arc::new(Directory::claim(path).expect("claimed"));
    let metrics = Metrics::new();
    let settings = RejectSettings {
        sources,
        per_client: 1_000_000,
    };
    (Rejects::start(directory, settings, &metrics), metrics)
}

fn reject(source: &str, n: u64, body: usize) -> Reject {
    let mut headers = HeaderMap::new();
    headers.insert("x-n", n.into());
    headers.append("x-two", "1".parse().expect("a value"));
    headers.append("x-two", "\u{e9}".parse().expect("a value"));
    Reject {
        source: source.into(),
        reason: if n.is_multiple_of(2) {
            "stale"
        } else {
            "bad_signature"
        }
        .into(),
        received_ms: 1_000 + n,
        client: "192.0.2.1".parse().expect("an address"),
        method: Method::POST,
        target: format!("/in?n={n}"),
        headers,
        body: Some(vec![7; body].into()),
    }
}

/// Hands one over, however long it takes until there is room.
async fn keep(rejects: &Rejects, reject: Reject) {
    let give_up = Instant::now() + PATIENCE;
    while !rejects.0.inbox.keep(reject.clone()) {
        assert!(Instant::now() < give_up, "there is never room");
        // The thread writes at its own pace.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn list(rejects: &Rejects, query: RejectQuery) -> Vec<u64> {
    let page = rejects.list(query).await.expect("a list");
    let received = page.rejects.iter();
    received.map(|reject| reject.received_ms - 1_000).collect()
}

fn all() -> RejectQuery {
    RejectQuery {
        limit: 10_000,
        ..RejectQuery::default()
    }
}

/// What was handed over before is written when this returns.
async fn written(rejects: &Rejects, last: u64) {
    let give_up = Instant::now() + PATIENCE;
    while !list(rejects, all()).await.contains(&last) {
        assert!(Instant::now() < give_up, "{last} is never written");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What its files take. The thread may unlink one meanwhile, a journal: that takes nothing.
fn disk(path: &Path) -> u64 {
    let entries = std::fs::read_dir(path).expect("a directory");
    let files = entries.map(|entry| entry.expect("an entry"));
    files
        .filter(|file| file.file_name().to_string_lossy().starts_with("rejects"))
        .map(|file| match file.metadata() {
            Ok(metadata) => metadata.len(),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => 0,
            Err(e) => panic!("{e}"),
        })
        .sum()
}

#[tokio::test]
async fn what_goes_in_comes_out_also_after_a_restart() {
    let place = tempfile::tempdir().expect("a directory");
    let (rejects, _) = start(place.path(), one(10, 1 << 20));
    let mut without_body = reject("erp", 2, 0);
    without_body.body = None;
    for reject in [reject("erp", 1, 100_000), without_body, reject("erp", 3, 0)] {
        keep(&rejects, reject).await;
    }
    rejects.close(PATIENCE).await;
    let file = place.path().join("rejects.db");
    let mode = std::fs::metadata(&file)
        .expect("there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);

    let (rejects, _) = start(place.path(), one(10, 1 << 20));
    let page = rejects.list(all()).await.expect("a list");
    let ids: Vec<u64> = page.rejects.iter().map(|reject| reject.id).collect();
    assert_eq!(ids, [3, 2, 1]);
    assert_eq!(page.cursor, None);
    let bodies: Vec<_> = page
        .rejects
        .iter()
        .map(|reject| reject.body_bytes)
        .collect();
    assert_eq!(bodies, [Some(0), None, Some(100_000)]);
    let got = rejects.get(1).await.expect("readable").expect("kept");
    let sent = reject("erp", 1, 100_000);
    assert_eq!(
        (
            &got.headers,
            &got.body,
            &got.target,
            got.client,
            &got.method
        ),
        (
            &sent.headers,
            &sent.body,
            &sent.target,
            sent.client,
            &sent.method
        )
    );
    rejects.remove(vec![1, 7]).await.expect("removed");
    assert!(rejects.get(1).await.expect("readable").is_none());
    // Its number is never another's.
    rejects.remove(vec![3]).await.expect("removed");
    keep(&rejects, reject("erp", 4, 1)).await;
    written(&rejects, 4).await;
    let last = rejects.list(all()).await.expect("a list").rejects.remove(0);
    assert_eq!(last.id, 4);
    rejects.close(PATIENCE).await;
}

#[tokio::test]
async fn lists_are_filtered_and_paged_both_ways() {
    let place = tempfile::tempdir().expect("a directory");
    let mut sources = one(100, 1 << 20);
    sources.push(source("crm", None, Some((100, 1 << 20))));
    let (rejects, _) = start(place.path(), sources);
    for n in 0..30 {
        let source = if n < 20 { "erp" } else { "crm" };
        keep(&rejects, reject(source, n, 10)).await;
    }
    written(&rejects, 29).await;
    let filtered = RejectQuery {
        source: Some("erp".into()),
        reason: Some("stale".into()),
        from_ms: Some(1_004),
        to_ms: Some(1_014),
        ..all()
    };
    assert_eq!(list(&rejects, filtered.clone()).await, [12, 10, 8, 6, 4]);
    for oldest_first in [false, true] {
        let mut found = Vec::new();
        let mut query = RejectQuery {
            limit: 7,
            oldest_first,
            ..all()
        };
        loop {
            let page = rejects.list(query.clone()).await.expect("a list");
            assert!(page.rejects.len() <= 7);
            found.extend(page.rejects.iter().map(|reject| reject.received_ms - 1_000));
            query.cursor = page.cursor;
            if page.cursor.is_none() {
                break;
            }
        }
        let mut expected: Vec<u64> = (0..30).collect();
        if !oldest_first {
            expected.reverse();
        }
        assert_eq!(found, expected);
    }
    rejects.close(PATIENCE).await;
}

/// However much comes in: the number, the bytes, and what it all takes on the disk.
#[tokio::test]
async fn the_ring_is_bounded_in_number_bytes_and_disk() {
    const MAX: u64 = 512 << 10;
    /// The schema and the spare pages, and the log at its longest.
    const BESIDE: u64 = (128 * 4096) + (4 << 20) + (512 << 10);

    let place = tempfile::tempdir().expect("a directory");
    let (rejects, metrics) = start(place.path(), one(50, MAX));
    let bodies = [0, 10, 900, 3_000, 4_050, 4_100, 9_000, 60_000, 200_000];
    for n in 0..300_u64 {
        let body = bodies[usize::try_from(n * 7 % 9).expect("small")];
        keep(&rejects, reject("erp", n, body)).await;
        let used = disk(place.path());
        assert!(used <= MAX + BESIDE, "{used} bytes after {n}");
    }
    written(&rejects, 299).await;
    let kept = list(&rejects, all()).await;
    assert!(kept.len() <= 50);
    let latest: Vec<u64> = (0..300).rev().take(kept.len()).collect();
    assert_eq!(kept, latest, "the latest ones");
    let text = metrics.render();
    let gauge = format!("hookgate_rejects_kept{{source=\"erp\"}} {}", kept.len());
    assert!(text.contains(&gauge), "{text}");
    for n in 300..400 {
        keep(&rejects, reject("erp", n, 10)).await;
    }
    written(&rejects, 399).await;
    assert_eq!(list(&rejects, all()).await.len(), 50);

    let too_large = reject("erp", 400, usize::try_from(MAX).expect("small"));
    rejects.keep(too_large);
    let text = metrics.render();
    let dropped = "hookgate_rejects_dropped_total{source=\"erp\",reason=\"too_large\"} 1";
    assert!(text.contains(dropped), "{text}");
    rejects.close(PATIENCE).await;
}

/// A flood is dropped in memory: nobody waits, and it does not gather.
#[tokio::test]
async fn what_finds_no_room_is_counted_and_nobody_waits() {
    let place = tempfile::tempdir().expect("a directory");
    let (rejects, metrics) = start(place.path(), one(1_000, 10 << 20));
    let client = "192.0.2.1".parse().expect("an address");
    let body = reject("erp", 1, 100_000);
    for _ in 0..10_000 {
        if rejects.wants("erp", client) {
            rejects.keep(body.clone());
        }
    }
    assert!(!rejects.wants("crm", client), "it keeps nothing");
    rejects.close(PATIENCE).await;
    let text = metrics.render();
    let count = |series: &str| {
        let line = text.lines().find(|line| line.starts_with(series));
        let value = line.and_then(|line| line.rsplit(' ').next());
        value
            .and_then(|value| value.parse::<u32>().ok())
            .expect(series)
    };
    let kept = count("hookgate_rejects_kept{source=\"erp\"}");
    let busy = count("hookgate_rejects_dropped_total{source=\"erp\",reason=\"busy\"}");
    assert!(kept > 0 && busy > 0, "{text}");
}

#[tokio::test]
async fn sources_that_are_gone_renamed_or_keep_nothing_any_more() {
    let place = tempfile::tempdir().expect("a directory");
    let names = ["gone", "old", "off", "stays"];
    let sources = names.map(|name| source(name, None, Some((10, 1 << 20))));
    let (rejects, _) = start(place.path(), sources.to_vec());
    let now_ms = crate::clock::unix_ms();
    for name in names {
        let mut recent = reject(name, 1, 10);
        recent.received_ms = now_ms;
        keep(&rejects, recent).await;
        // Long ago.
        keep(&rejects, reject(name, 2, 10)).await;
    }
    rejects.close(PATIENCE).await;

    let sources = vec![
        source("new", Some("old"), Some((10, 1 << 20))),
        source("off", None, None),
        source("stays", None, Some((10, 1 << 20))),
    ];
    let (rejects, metrics) = start(place.path(), sources);
    let page = rejects.list(all()).await.expect("a list");
    let found = page.rejects.iter();
    let mut found: Vec<(&str, bool, bool)> = found
        .map(|reject| {
            (
                &*reject.source,
                reject.configured,
                reject.received_ms == now_ms,
            )
        })
        .collect();
    found.sort_unstable();
    assert_eq!(
        found,
        [
            ("gone", false, true),
            ("new", true, false),
            ("new", true, true),
            ("stays", true, false),
            ("stays", true, true),
        ]
    );
    let text = metrics.render();
    assert!(
        text.contains("hookgate_rejects_kept{source=\"gone\"} 1"),
        "{text}"
    );
    rejects.close(PATIENCE).await;

    // Where nothing is kept any more, no file is left.
    let off: Sources = vec![source("stays", None, None), source("new", None, None)];
    let (rejects, _) = start(place.path(), off);
    let page = rejects.list(all()).await.expect("a list");
    rejects
        .remove(vec![page.rejects[0].id])
        .await
        .expect("removed");
    rejects.close(PATIENCE).await;
    assert_eq!(disk(place.path()), 0);
    let (rejects, _) = start(place.path(), Vec::new());
    assert!(
        rejects
            .list(all())
            .await
            .expect("a list")
            .rejects
            .is_empty()
    );
    assert!(rejects.get(1).await.expect("nothing").is_none());
    assert_eq!(disk(place.path()), 0, "none is made");
}

#[tokio::test]
async fn a_smaller_ring_gives_its_disk_back() {
    let place = tempfile::tempdir().expect("a directory");
    let (rejects, _) = start(place.path(), one(100, 4 << 20));
    for n in 0..30 {
        keep(&rejects, reject("erp", n, 100_000)).await;
    }
    rejects.close(PATIENCE).await;
    assert!(disk(place.path()) > 2 << 20);
    let (rejects, _) = start(place.path(), one(100, 300 << 10));
    assert_eq!(list(&rejects, all()).await, [29, 28]);
    rejects.close(PATIENCE).await;
    let used = disk(place.path());
    assert!(used < 400 << 10, "{used}");
}

#[tokio::test]
async fn a_damaged_file_begins_anew_and_a_strange_one_is_left_alone() {
    let place = tempfile::tempdir().expect("a directory");
    let file = place.path().join("rejects.db");
    std::fs::write(&file, vec![b'x'; 10_000]).expect("written");
    let (rejects, _) = start(place.path(), one(10, 1 << 20));
    keep(&rejects, reject("erp", 1, 10)).await;
    written(&rejects, 1).await;
    rejects.close(PATIENCE).await;

    let mut bytes = std::fs::read(&file).expect("there");
    let middle = bytes.len() / 2;
    bytes[middle..].fill(0xff);
    std::fs::write(&file, bytes).expect("written");
    let (rejects, _) = start(place.path(), one(10, 1 << 20));
    assert!(list(&rejects, all()).await.is_empty());
    rejects.close(PATIENCE).await;

    std::fs::remove_file(&file).expect("there");
    let other = rusqlite::Connection::open(&file).expect("opens");
    other
        .execute_batch("CREATE TABLE theirs (a)")
        .expect("made");
    drop(other);
    let before = std::fs::read(&file).expect("there");
    let (rejects, _) = start(place.path(), one(10, 1 << 20));
    assert!(rejects.list(all()).await.is_err(), "nothing is kept");
    assert!(!rejects.wants("erp", "192.0.2.1".parse().expect("an address")));
    rejects.close(PATIENCE).await;
    assert_eq!(std::fs::read(&file).expect("there"), before);
}
