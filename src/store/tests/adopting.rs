//! Another configuration for a store that runs.

use super::*;

fn adoption(place: &Place, sources: &[&str], targets: &[&str]) -> Adoption {
    Adoption {
        sources: sources.iter().map(|name| ((*name).into(), None)).collect(),
        targets: targets.iter().map(|name| target(name)).collect(),
        store: place.store.clone(),
    }
}

fn shown(adopted: &Adopted) -> (Vec<String>, Vec<String>) {
    fn all<'a, Id: 'a>(known: impl Iterator<Item = &'a Known<Id>>) -> Vec<String> {
        let mark = |known: &Known<Id>| if known.configured { "" } else { "!" };
        known
            .map(|known| format!("{}{}", mark(known), known.name))
            .collect()
    }
    (
        all(adopted.sources.iter().map(|source| &source.known)),
        all(adopted.targets.iter().map(|target| &target.known)),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn names_have_their_numbers_before_they_are_used_and_keep_them() {
    let mut place = Place::new(&["app"]);
    let running = place.start();
    running.admit(1, b"{}").await;
    let first = running
        .store
        .adopt(adoption(&place, &["erp", "shop"], &["app", "new"]))
        .await
        .expect("adopted");
    assert_eq!(
        shown(&first),
        (
            vec!["erp".into(), "shop".into()],
            vec!["app".into(), "new".into()]
        )
    );

    // An event of the new source, at the new target: readable at once, and after a restart.
    let (source, new) = (&first.sources[1].known, &first.targets[1].known);
    let mut request = running.request(2, b"{}");
    request.targets = vec![new.id];
    let mut admission = running.admission(request);
    admission.source = source.id;
    admission.source_name = Arc::clone(&source.name);
    let answer = running.store.admit(admission).expect("taken");
    answer.await.expect("answered").expect("stored");
    let waiting = running.store.fresh(new.id, Seq(0), 10).await.expect("read");
    let event = waiting[0].event.as_ref().expect("it is whole");
    assert_eq!(&*event.source, "shop");
    let page = running.store.browse(Query::default()).await.expect("read");
    assert!(
        page.events.iter().any(|event| *event.source == *"shop"),
        "{page:?}"
    );
    assert_eq!(running.store.keys_of(&[source.id]).expect("read").len(), 1);

    // Removed, it keeps its number; a replay does not go there.
    let second = running
        .store
        .adopt(adoption(&place, &["erp"], &["app"]))
        .await;
    let second = second.expect("adopted");
    assert_eq!(shown(&second).1, ["app", "!new"]);
    let command = Command::Replay {
        seq: Seq(1),
        targets: vec![new.id],
    };
    let steered = running.store.steer(vec![command]).await.expect("answered");
    assert_eq!(steered, [Steered::Nothing("target is not configured")]);
    running.close().await;

    place.sources = vec![("erp".into(), None), ("shop".into(), None)];
    let again = place.open();
    let known = again.sources().iter().find(|known| *known.name == *"shop");
    assert_eq!(known.expect("known").id, source.id);
    let (_, backlog) = again
        .targets()
        .iter()
        .find(|(known, _)| known.id == new.id)
        .expect("known");
    assert_eq!(backlog.deliveries, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn bounds_count_from_then_on() {
    let place = Place::new(&["app"]);
    let running = place.start();
    assert!(!running.store.keeps_history());
    running.admit(1, b"{}").await;
    let mut adoption = adoption(&place, &["erp"], &["app"]);
    adoption.targets[0].max_backlog_bytes = 1;
    adoption.store.history = Duration::from_hours(1);
    running
        .store
        .adopt(adoption.clone())
        .await
        .expect("adopted");
    assert!(running.store.keeps_history());
    let answer = running
        .store
        .admit(running.admission(running.request(2, b"{}")));
    let answer = answer.expect("taken").await.expect("answered");
    assert_eq!(answer, Err(NotStored::Backlog));
    adoption.targets[0].max_backlog_bytes = u64::MAX;
    adoption.store.max_size_bytes = 1;
    running
        .store
        .adopt(adoption.clone())
        .await
        .expect("adopted");
    let answer = running
        .store
        .admit(running.admission(running.request(3, b"{}")));
    let answer = answer.expect("taken").await.expect("answered");
    assert_eq!(answer, Err(NotStored::Full));
    adoption.store.max_size_bytes = 1 << 30;
    running
        .store
        .adopt(adoption.clone())
        .await
        .expect("adopted");
    running.admit(4, b"{}").await;
    let store = running.store.clone();
    running.close().await;
    let late = store.adopt(adoption).await;
    assert_eq!(late.map(|_| ()), Err(NotStored::Unavailable));
}
