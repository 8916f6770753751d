//! What is kept of attempts and of where events went, read as an operator's shell would.

use crate::support::{App, Behaviour, Request, gate::Home, wait_until};

/// Every row of a query, its columns joined by `|`.
fn rows(home: &Home, sql: &str) -> Vec<String> {
    let shell = rusqlite::Connection::open(home.database()).expect("the store's file");
    let mut statement = shell.prepare(sql).expect(sql);
    let columns = statement.column_count();
    let rows = statement.query_map([], |row| {
        let column = |index| row.get::<_, Option<String>>(index);
        let columns: Vec<_> = (0..columns).map(column).collect::<Result<_, _>>()?;
        let shown = columns
            .into_iter()
            .map(|text| text.unwrap_or("-".to_owned()));
        Ok(shown.collect::<Vec<_>>().join("|"))
    });
    rows.expect(sql).collect::<Result<_, _>>().expect(sql)
}

#[test]
fn attempts_and_history_are_kept_with_what_the_app_said() {
    let app = App::start();
    let config = |timeout: &str| {
        format!(
            "store: {{ history: 720h }}\nsources:\n  open:\n    verify: none\n    event: {{ id: json:/id, type: json:/event }}\n    \
             forward: app\ntargets:\n  app: {{ url: \"{}\", timeout: {timeout}, retry: {{ first: 20ms, max: 50ms }} }}\n",
            app.url()
        )
    };
    // What is answered is not to be late on a busy machine.
    let home = Home::new(&config("20s"));
    let gate = home.start();
    let long = "x".repeat(5_000);
    let said = format!("HTTP/1.1 503 Busy\r\nContent-Length: 5000\r\n\r\n{long}");
    app.behave(Behaviour::Raw(said.into_bytes()));
    let body = r#"{"event":"order.created","id":"evt_1"}"#;
    gate.send(&Request::new("/hooks/open", body)).id();
    wait_until("the first has failed", || {
        gate.metric(r#"hookgate_attempts_total{target="app",outcome="failed",reason="5xx"}"#) >= 1.0
    });
    home.configure(&config("300ms"));
    gate.reloaded();
    app.behave(Behaviour::Hang);
    let so_far = app.count();
    // The second comes only after the first has timed out.
    app.wait_for(so_far + 2);
    app.behave(Behaviour::Status(204));
    wait_until("it is delivered", || {
        gate.metric(r#"hookgate_pending_deliveries{target="app"}"#) == 0.0
    });
    let attempts = "SELECT CAST(attempt AS TEXT), CAST(status AS TEXT), error, CAST(length(answer) AS TEXT) \
                    FROM attempts ORDER BY attempt";
    let kept = rows(&home, attempts);
    assert_eq!(kept[0], "1|503|-|1024", "the beginning of what it said");
    let last = kept.len();
    assert!(
        kept[1..last - 1]
            .iter()
            .any(|row| row.ends_with("|-|timeout|-")),
        "{kept:?}"
    );
    assert_eq!(kept[last - 1], format!("{last}|204|-|-"));
    let history = "SELECT vendor_id, type, outcome, CAST(h.status AS TEXT), CAST(h.attempts AS TEXT) \
                   FROM history JOIN handed h USING (seq)";
    let expected = format!("evt_1|order.created|delivered|204|{last}");
    assert_eq!(rows(&home, history), [expected]);
}
