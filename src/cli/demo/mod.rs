//! `hookgate demo`: five vendors, a gateway and a small app in one process, on loopback and a temporary store.
//!
//! The gateway is the real one, configured by a real file; nothing in it knows that it is a demo.

mod app;
mod scenes;
mod screen;
mod setup;
mod tally;

use super::{
    Failure, origin,
    run::{not_opened, on_signal},
    runtime,
    send::{Post, Script, Vendor},
};
use crate::{
    config::{
        Config, Source,
        environment::Environment,
        load::{Options, Origin},
    },
    gateway::Gateway,
};
use anyhow::{Context as _, anyhow};
use app::App;
use scenes::{Actor, Audience, Stage};
use screen::{Screen, Tone, line};
use setup::Setup;
use std::{future::Future, net::SocketAddr, pin::pin};
use tally::{Figures, Tally};
use tempfile::TempDir;
use tokio::{signal::unix::SignalKind, sync::oneshot};

/// What `--help` says at length.
pub(super) const LONG: &str = "\
Starts a gateway with five vendors and a small app in one process, on loopback and a temporary store, and \
sends real signed events through it: good ones, repeated ones, forged ones, and some while the app is down. \
Then it stays up for events of yours, until Ctrl-C. Logs are off unless RUST_LOG is set.\n\n\
With --exit it ends after the last scene: exit code 0 if everything went as promised, 1 if not.";

/// Options of `demo`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// End after the last scene
    #[arg(long)]
    exit: bool,
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    runtime()?.block_on(perform(args.exit))
}

/// Sets the stage, plays, and takes everything down again; the temporary directory goes with its owner.
async fn perform(exit: bool) -> Result<(), Failure> {
    // Taken from the start: the temporary directory has to go, whenever Ctrl-C comes.
    // A terminal that is closed says SIGHUP.
    let interrupted = pin!(on_signal(&[
        SignalKind::terminate(),
        SignalKind::interrupt(),
        SignalKind::hangup(),
    ])?);
    let directory = tempfile::Builder::new()
        .prefix("hookgate-demo-")
        .tempdir()
        .context("cannot make a temporary directory")?;
    let (app, arrivals) = App::start().await.context("the app cannot listen")?;
    let mut setup = Setup::new(&directory, app.address())?;
    let config = load(&setup)?;
    let sources = config.sources.clone();
    let gateway = Gateway::open(config).await.map_err(not_opened)?;
    let public = gateway.public_addr();
    setup.bound(
        public.context("the demo listens on an address")?,
        gateway.admin_addr(),
    );
    setup.write().context("cannot write the configuration")?;

    let screen = Screen::new();
    introduce(screen, &setup, &directory)?;
    let mut stage = Stage {
        conversation: conversation(&sources, setup.public())?,
        actors: actors(&sources, setup.public())?,
        app,
        audience: Audience {
            screen,
            arrivals,
            tally: Tally::default(),
        },
    };
    let (stop, stopped) = oneshot::channel::<()>();
    let mut serving = pin!(gateway.run(async {
        // The sender is dropped on every way out of here, which is as good as a signal.
        let _ = stopped.await;
    }));
    let shown = tokio::select! {
        ended = &mut serving => {
            ended.map_err(|poisoned| Failure::Store(poisoned.into()))?;
            return Err(anyhow!("the gateway ended by itself").into());
        }
        shown = show(&mut stage, &setup, exit, interrupted) => shown,
    };
    drop(stop);
    serving
        .await
        .map_err(|poisoned| Failure::Store(poisoned.into()))?;
    shown
}

fn load(setup: &Setup) -> Result<Config, Failure> {
    let origin = Origin::Text {
        name: "demo".into(),
        text: setup.yaml(),
    };
    origin::load(&origin, &Environment::default(), Options::default()).map(|(config, _)| config)
}

fn actors(sources: &[Source], gateway: SocketAddr) -> Result<Vec<Actor>, Failure> {
    sources
        .iter()
        .map(|source| actor(source, None, gateway))
        .collect()
}

fn conversation(sources: &[Source], gateway: SocketAddr) -> Result<Actor, Failure> {
    let vowchat = sources.iter().find(|source| &*source.name == "vowchat");
    let vowchat = vowchat.context("VowChat is among the sources")?;
    actor(vowchat, Some("conversation_status_changed"), gateway)
}

fn actor(source: &Source, event: Option<&str>, gateway: SocketAddr) -> Result<Actor, Failure> {
    let url = format!("http://{gateway}{}", source.path);
    let url = url.parse().with_context(|| url.clone())?;
    Ok(Actor {
        vendor: Vendor::new(
            source,
            Script {
                event,
                ..Script::default()
            },
        )?,
        post: Post::new(&url, source.sender_timeout),
    })
}

/// Everything that is seen, from the first scene to the end.
async fn show(
    stage: &mut Stage,
    setup: &Setup,
    exit: bool,
    mut interrupted: impl Future<Output = ()> + Unpin,
) -> Result<(), Failure> {
    tokio::select! {
        played = scenes::play(stage) => played?,
        () = &mut interrupted => return Ok(()),
    }
    let audience = &mut stage.audience;
    let figures = std::mem::take(&mut audience.tally).close();
    report(audience.screen, &figures)?;
    invite(audience.screen, setup, exit)?;
    if !exit {
        tokio::select! {
            watched = watch(audience) => watched?,
            () = interrupted => {}
        }
    }
    verdict(&figures)
}

fn verdict(figures: &Figures) -> Result<(), Failure> {
    if figures.as_promised() {
        Ok(())
    } else {
        Err(Failure::Shown)
    }
}

fn introduce(screen: Screen, setup: &Setup, directory: &TempDir) -> Result<(), Failure> {
    screen.heading("hookgate demo")?;
    line(&format!("gateway   http://{}", setup.public()))?;
    line(&format!("metrics   http://{}/metrics", setup.admin()))?;
    line(&format!("app       http://{}", setup.app()))?;
    line(&format!("config    {}", setup.file().display()))?;
    screen.aside(&format!(
        "temporary, all of it: {} is removed at the end",
        directory.path().display()
    ))
}

fn report(screen: Screen, figures: &Figures) -> Result<(), Failure> {
    let tone = |good| if good { Tone::Good } else { Tone::Bad };
    screen.heading("What it came to")?;
    screen.figure("accepted", figures.accepted, Tone::Strong)?;
    screen.figure("duplicates stopped", figures.duplicates, Tone::Strong)?;
    screen.figure("forgeries refused", figures.refused, Tone::Strong)?;
    screen.figure("delivered", figures.delivered, Tone::Strong)?;
    if figures.delivered_again > 0 {
        screen.figure("delivered twice", figures.delivered_again, Tone::Strong)?;
    }
    screen.figure("lost", figures.lost, tone(figures.lost == 0))?;
    if !figures.broken.is_empty() {
        screen.heading("Not as promised")?;
    }
    for broken in &figures.broken {
        line(broken)?;
    }
    Ok(())
}

fn invite(screen: Screen, setup: &Setup, exit: bool) -> Result<(), Failure> {
    screen.heading(if exit {
        "Without --exit the gateway stays up now, and you could paste this into another terminal"
    } else {
        "Now you: paste this into another terminal, twice if you like"
    })?;
    for text in setup.curl().lines().chain([
        "",
        &setup.send(""),
        &setup.send(" --repeat"),
        &setup.send(" --tamper"),
    ]) {
        line(text)?;
    }
    if exit {
        return Ok(());
    }
    screen.heading("What the app gets (Ctrl-C ends)")
}

/// Shows every arrival, for ever.
async fn watch(audience: &mut Audience) -> Result<(), Failure> {
    while let Some(arrival) = audience.arrivals.recv().await {
        line(&format!(
            "{:<13}{:<29}attempt {}   {}",
            arrival.source, arrival.event_type, arrival.attempt, arrival.id
        ))?;
    }
    Ok(())
}
