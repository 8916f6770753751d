//! The demo's scenes, in order. Each sends real requests, shows answer and arrival, and enters both in the tally;
//! what is not as promised is shown in red and makes the demo fail.

use super::{
    app::{App, Arrival},
    screen::{Screen, Step, Tone, line, millis},
    tally::{Tally, Verdict},
};
use crate::cli::{
    Failure,
    send::{Answered, Post, Vendor},
};
use crate::verify::Outgoing;
use anyhow::Context as _;
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use std::time::Duration;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout_at},
};

/// Within this time an event reaches an app that is there; usually it takes a few milliseconds.
const ARRIVES_WITHIN: Duration = Duration::from_secs(5);

/// Within this time after the app is back it has everything that waited: above the longest pause between two
/// probes of an app that was away.
const CATCHES_UP_WITHIN: Duration = Duration::from_secs(15);

/// How long the app is watched before it is said that nothing came: many times what an arrival takes.
const NOTHING_AFTER: Duration = Duration::from_millis(100);

/// How long the app stays down.
const DOWN: Duration = Duration::from_secs(2);

/// Orders that come in while the app is down.
const ORDERS: usize = 10;

/// A vendor and its way to the gateway.
#[derive(Debug)]
pub(super) struct Actor {
    /// Makes its requests.
    pub(super) vendor: Vendor,
    /// Sends them.
    pub(super) post: Post,
}

impl Actor {
    fn name(&self) -> &str {
        &self.vendor.source().name
    }

    fn event(&self) -> &str {
        self.vendor.event().unwrap_or_default()
    }
}

/// Everybody who plays. Its parts are taken apart by the scenes, so that one can be watched while another acts.
#[derive(Debug)]
pub(super) struct Stage {
    /// Chatsvia, VowChat, Chatplugify, Live Chat, Chatmefy.
    pub(super) actors: Vec<Actor>,
    /// Sends VowChat's changes of a conversation's status.
    pub(super) conversation: Actor,
    /// The app behind the gateway.
    pub(super) app: App,
    /// What reaches it.
    pub(super) audience: Audience,
}

/// Watches both sides and shows what they do.
#[derive(Debug)]
pub(super) struct Audience {
    /// Where it is shown.
    pub(super) screen: Screen,
    /// What reaches the app.
    pub(super) arrivals: mpsc::Receiver<Arrival>,
    /// Where it is counted.
    pub(super) tally: Tally,
}

/// Plays all scenes.
pub(super) async fn play(stage: &mut Stage) -> Result<(), Failure> {
    let sent = real_events(&stage.actors, &mut stage.audience).await?;
    repeated(&stage.actors, &sent, &mut stage.audience).await?;
    forged(&stage.actors, &mut stage.audience).await?;
    same_id(&stage.conversation, &mut stage.audience).await?;
    same_subscription(&stage.actors, &mut stage.audience).await?;
    app_down(stage).await
}

/// One event of each vendor. Returns what was sent.
async fn real_events(actors: &[Actor], audience: &mut Audience) -> Result<Vec<Outgoing>, Failure> {
    audience.screen.heading("1  Each vendor sends an event")?;
    let mut sent = Vec::new();
    for actor in actors {
        let request = actor.vendor.next()?;
        audience
            .accepted(actor, actor.event(), request.clone())
            .await?;
        sent.push(request);
    }
    Ok(sent)
}

/// The same bytes again, as after a lost answer.
async fn repeated(
    actors: &[Actor],
    sent: &[Outgoing],
    audience: &mut Audience,
) -> Result<(), Failure> {
    let screen = audience.screen;
    screen.heading(
        "2  Each vendor sends the same event again: it is stopped, and the vendor told 200",
    )?;
    for (actor, request) in actors.iter().zip(sent) {
        let is_promised = |verdict: &Verdict| matches!(verdict, Verdict::Duplicate(_));
        audience
            .stopped(actor, request.clone(), is_promised)
            .await?;
    }
    Ok(())
}

/// What somebody sends who has seen a request and has no secret.
async fn forged(actors: &[Actor], audience: &mut Audience) -> Result<(), Failure> {
    let screen = audience.screen;
    screen.heading("3  Somebody forges an event of each: another body, or another token")?;
    for actor in actors {
        let request = actor.vendor.forge(actor.vendor.next()?)?;
        let is_promised = |verdict: &Verdict| *verdict == Verdict::Refused;
        audience.stopped(actor, request, is_promised).await?;
    }
    Ok(())
}

/// VowChat names the conversation, not the event: three changes of one are three events.
async fn same_id(conversation: &Actor, audience: &mut Audience) -> Result<(), Failure> {
    let screen = audience.screen;
    screen
        .heading("4  One conversation is opened, resolved, opened again: one id, three events")?;
    let first = conversation.vendor.next()?.body;
    for (status, minutes_ago) in [("open", 2), ("resolved", 1), ("open", 0)] {
        let body = status_change(&first, status, minutes_ago);
        let body = body.context("the sample has a status and a time")?;
        let request = conversation.vendor.signed(body)?;
        let shown = format!("status changed to {status}");
        audience.accepted(conversation, &shown, request).await?;
    }
    Ok(())
}

/// Chatplugify's `webhookId` names the subscription: it is in every event.
async fn same_subscription(actors: &[Actor], audience: &mut Audience) -> Result<(), Failure> {
    let screen = audience.screen;
    screen
        .heading("5  Two conversations, one webhookId: it names the subscription, not the event")?;
    let plug = actors.iter().find(|actor| actor.name() == "chatplugify");
    let plug = plug.context("Chatplugify is among the vendors")?;
    for _ in 0..2 {
        let request = plug.vendor.next()?;
        audience.accepted(plug, plug.event(), request).await?;
    }
    Ok(())
}

/// Orders that come in while nobody listens are acknowledged and wait.
async fn app_down(stage: &mut Stage) -> Result<(), Failure> {
    let Stage {
        actors,
        app,
        audience,
        ..
    } = stage;
    let screen = audience.screen;
    screen.heading("6  The app goes down, ten orders come in, the app comes back")?;
    let shop = actors.first().context("there are vendors")?;
    app.switch_off().await;
    let down_at = Instant::now();
    line("the app is down")?;
    let mut waiting = Vec::new();
    for number in 1..=ORDERS {
        if let Some(id) = audience.waits(shop, number).await? {
            waiting.push((number, id, Instant::now()));
        }
    }
    sleep(DOWN.saturating_sub(down_at.elapsed())).await;
    app.switch_on().await.context("the app cannot come back")?;
    let back_at = Instant::now();
    line(&format!(
        "the app is back after {}",
        millis(back_at - down_at)
    ))?;
    audience.catches_up(waiting, back_at).await
}

impl Audience {
    /// Sends what has to be accepted and waits until the app has it.
    async fn accepted(
        &mut self,
        actor: &Actor,
        event: &str,
        request: Outgoing,
    ) -> Result<(), Failure> {
        let sent_at = Instant::now();
        let answered = self.send(actor, request).await?;
        let verdict = self.tally.answered(&answered);
        let arrived = match &verdict {
            Verdict::Accepted(id) => self.arrival(id, sent_at + ARRIVES_WITHIN).await,
            _ => None,
        };
        let app = match &arrived {
            Some(arrival) => format!("app has it after {}", millis(arrival.at - sent_at)),
            None => "app has nothing".into(),
        };
        self.show(actor, event, &answered, &verdict, arrived.is_some(), &app)
    }

    /// Sends what must not reach the app.
    async fn stopped(
        &mut self,
        actor: &Actor,
        request: Outgoing,
        is_promised: impl Fn(&Verdict) -> bool,
    ) -> Result<(), Failure> {
        let before = self.tally.arrivals();
        let answered = self.send(actor, request).await?;
        let verdict = self.tally.answered(&answered);
        self.watch(NOTHING_AFTER).await;
        let came = self.tally.arrivals() - before;
        let app = match came {
            0 => "app sees nothing".to_owned(),
            came => format!("app sees {came}"),
        };
        let good = is_promised(&verdict) && came == 0;
        self.show(actor, actor.event(), &answered, &verdict, good, &app)
    }

    /// Sends what has to be accepted although the app is away. Returns its id.
    async fn waits(&mut self, actor: &Actor, number: usize) -> Result<Option<String>, Failure> {
        let answered = self.send(actor, actor.vendor.next()?).await?;
        let verdict = self.tally.answered(&answered);
        let id = match &verdict {
            Verdict::Accepted(id) => Some(id.clone()),
            _ => None,
        };
        let event = numbered(actor.event(), number);
        self.show(actor, &event, &answered, &verdict, id.is_some(), "waits")?;
        Ok(id)
    }

    /// Waits for everything that waited and shows it in the order in which it arrived.
    async fn catches_up(
        &mut self,
        waiting: Vec<(usize, String, Instant)>,
        back_at: Instant,
    ) -> Result<(), Failure> {
        let mut came = Vec::new();
        for (number, id, taken_at) in waiting {
            match self.arrival(&id, back_at + CATCHES_UP_WITHIN).await {
                Some(arrival) => came.push((number, taken_at, arrival)),
                None => self
                    .tally
                    .broke(format!("order {number} never reached the app")),
            }
        }
        came.sort_by_key(|(_, _, arrival)| arrival.at);
        for (number, taken_at, arrival) in &came {
            self.screen.step(&Step {
                source: &arrival.source,
                event: &numbered(&arrival.event_type, *number),
                answer: &format!("waited {}", millis(arrival.at - *taken_at)),
                tone: Tone::Good,
                took: None,
                app: &format!("app has it, attempt {}", arrival.attempt),
            })?;
        }
        match came.last() {
            Some((_, _, last)) => line(&format!(
                "the last one came {} after the app was back",
                millis(last.at - back_at)
            )),
            None => Ok(()),
        }
    }

    async fn send(&self, actor: &Actor, request: Outgoing) -> Result<Answered, Failure> {
        let answered = actor.post.send(request).await;
        let answered = answered.with_context(|| format!("{} got no answer", actor.name()))?;
        Ok(answered)
    }

    fn show(
        &mut self,
        actor: &Actor,
        event: &str,
        answered: &Answered,
        verdict: &Verdict,
        good: bool,
        app: &str,
    ) -> Result<(), Failure> {
        let answer = verdict.short();
        if !good {
            let promise = format!("{} {event}: {answer}, {app}", actor.name());
            self.tally.broke(promise);
        }
        self.screen.step(&Step {
            source: actor.name(),
            event,
            answer: &answer,
            tone: if good { Tone::Good } else { Tone::Bad },
            took: Some(answered.took),
            app,
        })
    }

    /// The arrival of the event `id`, if it comes by `deadline`.
    async fn arrival(&mut self, id: &str, deadline: Instant) -> Option<Arrival> {
        loop {
            if let Some(arrival) = self.tally.arrival(id) {
                return Some(arrival.clone());
            }
            let next = timeout_at(deadline, self.arrivals.recv()).await;
            self.tally.arrived(next.ok().flatten()?);
        }
    }

    /// Takes what arrives within `span`.
    async fn watch(&mut self, span: Duration) {
        let deadline = Instant::now() + span;
        while let Ok(Some(arrival)) = timeout_at(deadline, self.arrivals.recv()).await {
            self.tally.arrived(arrival);
        }
    }
}

fn numbered(event: &str, number: usize) -> String {
    format!("{event} #{number}")
}

/// The same conversation in another state. Time and state together make the body another one: the same bytes
/// signed within the same second have the same signature, which is what a replayed request looks like.
fn status_change(sample: &Bytes, status: &str, minutes_ago: i64) -> Option<Bytes> {
    let changed_at = Timestamp::now() - SignedDuration::from_mins(minutes_ago);
    let changed_at = changed_at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string();
    let mut payload: serde_json::Value = serde_json::from_slice(sample).ok()?;
    *payload.get_mut("status")? = status.into();
    *payload.get_mut("changed_at")? = changed_at.into();
    Some(payload.to_string().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn changes_of_one_conversation_differ_in_state_and_time_alone() {
        let sample = Bytes::from(r#"{"id":7,"status":"resolved","changed_at":"then"}"#);
        let parse = |body: Bytes| serde_json::from_slice::<Value>(&body).expect("JSON");
        let mut opened = parse(status_change(&sample, "open", 2).expect("has both"));
        let mut again = parse(status_change(&sample, "open", 0).expect("has both"));
        assert_ne!(opened, again);
        for change in [&mut opened, &mut again] {
            change["changed_at"] = json!("then");
            assert_eq!(
                *change,
                json!({"id": 7, "status": "open", "changed_at": "then"})
            );
        }
        assert!(status_change(&Bytes::from("{}"), "open", 0).is_none());
    }
}
