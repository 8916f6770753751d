//! A store that an earlier release has left.

use super::*;

/// Takes away what format 2 has added.
const BACK_TO_1: &str = "
    DROP INDEX lanes;
    DROP TRIGGER names_added; DROP TRIGGER names_changed; DROP TRIGGER names_removed;
    DELETE FROM meta WHERE name IN ('identity_check', 'names_check');
    DROP TABLE attempts; DROP TABLE replays; DROP TABLE history; DROP TABLE handed;
    ALTER TABLE deliveries DROP COLUMN lane;
    ALTER TABLE deliveries DROP COLUMN replay;
    ALTER TABLE deliveries DROP COLUMN since_ms;
    ALTER TABLE names DROP COLUMN paused;
    UPDATE meta SET value = 1 WHERE name = 'format';";

/// Every table and index with its columns, whatever made them.
fn shape(place: &Place) -> Vec<(String, String)> {
    let shell = place.shell();
    let mut statement = shell
        .prepare(
            "SELECT s.name, ifnull(group_concat(c.name || ' ' || c.type || c.\"notnull\" || ifnull(c.dflt_value, ''), ', '), '') \
             FROM sqlite_schema s LEFT JOIN pragma_table_info(s.name) c GROUP BY s.name ORDER BY s.name",
        )
        .expect("prepared");
    let rows = statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .expect("read");
    rows.collect::<rusqlite::Result<_>>().expect("read")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_store_of_format_1_is_brought_up_to_date() {
    let place = Place::new(&["app"]);
    let running = place.start();
    for key in 1..=3 {
        running.admit(key, b"{}").await;
    }
    running.settle("app", Seq(1), RETRY_AT_5);
    running.settle("app", Seq(2), Outcome::Delivered);
    running.close().await;
    let made = shape(&place);
    place.shell().execute_batch(BACK_TO_1).expect("changed");

    let running = place.start();
    assert_eq!(running.fresh("app").await, [3]);
    let app = running.target("app");
    let (page, _) = running.due(app, 5, 10, &[]).await;
    assert_eq!(numbers(&page), [1]);
    assert_eq!(
        (page[0].replay, page[0].lane, page[0].since_ms),
        (0, None, None)
    );
    let targets = Vec::new();
    let replay = vec![Command::Replay {
        seq: Seq(2),
        targets,
    }];
    let answer = running.store.steer(replay).await;
    assert_eq!(answer, Ok(vec![Steered::Done { deliveries: 1 }]));
    running.close().await;
    assert_eq!(shape(&place), made, "as if it had been made so");
    let shell = place.shell();
    assert_eq!(
        count(&shell, "SELECT value FROM meta WHERE name = 'format'"),
        2
    );
    assert_eq!(
        count(&shell, "SELECT value FROM meta WHERE name = 'min_reader'"),
        1
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_cannot_be_brought_up_to_date_is_left_as_it_was() {
    let place = Place::new(&["app"]);
    place.start().close().await;
    place.shell().execute_batch(BACK_TO_1).expect("changed");
    // Something stands where a table has to be made: the columns must not be added alone.
    place
        .shell()
        .execute_batch("CREATE TABLE history (a)")
        .expect("made");
    assert!(matches!(place.try_open(), Err(OpenError::Sqlite { .. })));
    let shell = place.shell();
    assert_eq!(
        count(&shell, "SELECT value FROM meta WHERE name = 'format'"),
        1
    );
    let added = "SELECT count(*) FROM pragma_table_info('deliveries') WHERE name = 'lane'";
    assert_eq!(count(&shell, added), 0);
    shell.execute_batch("DROP TABLE history").expect("dropped");
    drop(shell);
    place.start().close().await;
}
