//! The demo's configuration: an ordinary file with a secret drawn for each run, and the commands that
//! can be pasted against it.

use crate::cli::{Failure, origin::scalar};
use anyhow::Context as _;
use std::{
    io::{self, Write as _},
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

/// Bytes of a secret: as many as its HMAC-SHA256 has.
const SECRET_BYTES: usize = 32;

/// Presets, each with the header of its token where the vendor lets the user choose it.
const SOURCES: [(&str, Option<&str>); 5] = [
    ("chatsvia", None),
    ("vowchat", None),
    ("chatplugify", Some("X-Demo-Token")),
    ("live-chat", None),
    ("chatmefy", None),
];

/// The vendor of the `curl` command.
const CURL_SOURCE: &str = "chatmefy";

/// A run's addresses, places and secrets.
pub(super) struct Setup {
    public: SocketAddr,
    admin: SocketAddr,
    app: SocketAddr,
    file: PathBuf,
    store: String,
    secrets: [String; SOURCES.len()],
}

impl Setup {
    /// A setup within `directory`, in front of the app at `app`. The gateway's ports are any that are free.
    pub(super) fn new(directory: &TempDir, app: SocketAddr) -> Result<Self, Failure> {
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let store = directory.path().join("data");
        let mut secrets: [String; SOURCES.len()] = Default::default();
        for secret in &mut secrets {
            *secret = random_secret()?;
        }
        Ok(Self {
            public: any_port,
            admin: any_port,
            app,
            file: directory.path().join("hookgate.yaml"),
            store: store
                .to_str()
                .context("the temporary directory is not UTF-8")?
                .to_owned(),
            secrets,
        })
    }

    /// Takes over the ports that the gateway was given.
    pub(super) fn bound(&mut self, public: SocketAddr, admin: SocketAddr) {
        (self.public, self.admin) = (public, admin);
    }

    /// Where senders connect.
    pub(super) fn public(&self) -> SocketAddr {
        self.public
    }

    /// Where operators connect.
    pub(super) fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Where the app is.
    pub(super) fn app(&self) -> SocketAddr {
        self.app
    }

    /// Where the configuration is written.
    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// The configuration.
    pub(super) fn yaml(&self) -> String {
        use std::fmt::Write as _;

        let mut text = format!(
            "listen: {}\n\
             admin: {{ listen: {} }}\n\
             store: {{ path: {}, min_free: 16MiB }}\n\
             sources:\n",
            scalar(&self.public.to_string()),
            scalar(&self.admin.to_string()),
            scalar(&self.store),
        );
        for ((name, header), secret) in SOURCES.iter().zip(&self.secrets) {
            let verify = header.map_or_else(String::new, |header| {
                format!("verify: {{ token: {{ header: {header} }} }}, ")
            });
            writeln!(
                text,
                "  {name}: {{ provider: {name}, {verify}secret: {}, forward: app }}",
                scalar(secret)
            )
            .expect("a String takes every write");
        }
        let app = scalar(&format!("http://{}/webhooks", self.app));
        // Short pauses, so that nobody waits long for the app to be found again.
        write!(
            text,
            "targets:\n  app: {{ url: {app}, retry: {{ first: 250ms, max: 1s }} }}\n"
        )
        .expect("a String takes every write");
        text
    }

    /// Writes the configuration, for the owner's eyes only: it has the secrets in it.
    pub(super) fn write(&self) -> io::Result<()> {
        std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&self.file)?
            .write_all(self.yaml().as_bytes())
    }

    /// A signed event by `curl`: three lines for any shell.
    pub(super) fn curl(&self) -> String {
        let place = SOURCES.iter().position(|(name, _)| *name == CURL_SOURCE);
        let secret = place.map_or("", |place| &self.secrets[place]);
        format!(
            "body='{{\"event\":\"lead.created\",\"data\":{{\"id\":\"lead_1\",\"name\":\"you\"}}}}'\n\
             sig=$(printf %s \"$body\" | openssl dgst -sha256 -hmac {secret} | sed 's/.* //')\n\
             curl -si http://{}/hooks/{CURL_SOURCE} -H \"X-Chatmefy-Signature: sha256=$sig\" -d \"$body\"",
            self.public
        )
    }

    /// A signed event by `hookgate send`, with `options` at the end.
    pub(super) fn send(&self, options: &str) -> String {
        let program = program();
        let file = self.file.display();
        format!("{program} send {CURL_SOURCE} -c {file}{options}")
    }
}

/// How any terminal starts this program: by its whole path, unless it was found by its name.
fn program() -> String {
    let called = std::env::args().next();
    let called = called.as_deref().unwrap_or("hookgate");
    let path = called.contains('/').then(std::env::current_exe);
    match path {
        Some(Ok(path)) => path.display().to_string(),
        _ => called.to_owned(),
    }
}

fn random_secret() -> Result<String, Failure> {
    let mut bytes = [0; SECRET_BYTES];
    getrandom::fill(&mut bytes).context("the system gives no random bytes")?;
    Ok(hex::encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::Sha256;
    use std::{os::unix::fs::PermissionsExt as _, process::Command};

    fn setup() -> (TempDir, Setup) {
        let directory = TempDir::new().expect("a directory");
        let app = SocketAddr::from(([127, 0, 0, 1], 3000));
        let mut setup = Setup::new(&directory, app).expect("random bytes");
        setup.bound(
            SocketAddr::from(([127, 0, 0, 1], 8080)),
            SocketAddr::from(([127, 0, 0, 1], 9444)),
        );
        (directory, setup)
    }

    #[test]
    fn the_configuration_is_yaml_with_five_sources_and_secrets() {
        let (_directory, setup) = setup();
        let yaml: serde_yaml::Value = serde_yaml::from_str(&setup.yaml()).expect("YAML");
        assert_eq!(yaml["listen"], "127.0.0.1:8080");
        assert_eq!(yaml["admin"]["listen"], "127.0.0.1:9444");
        assert_eq!(
            yaml["targets"]["app"]["url"],
            "http://127.0.0.1:3000/webhooks"
        );
        let mut secrets = std::collections::HashSet::new();
        for (name, _) in SOURCES {
            let source = &yaml["sources"][name];
            assert_eq!(source["provider"], name);
            secrets.insert(source["secret"].as_str().expect("a text").to_owned());
        }
        assert_eq!(secrets.len(), SOURCES.len());
        assert_eq!(
            yaml["sources"]["chatplugify"]["verify"]["token"]["header"],
            "X-Demo-Token"
        );
    }

    #[test]
    fn the_file_is_for_its_owner_alone() {
        let (_directory, setup) = setup();
        setup.write().expect("written");
        let mode = std::fs::metadata(setup.file())
            .expect("there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    /// Runs the pasted lines in a shell, with `curl` replaced by something that shows its arguments.
    #[test]
    fn the_curl_command_signs_what_it_sends() {
        use hmac::{Hmac, KeyInit as _, Mac as _};

        let (_directory, setup) = setup();
        let script = format!("curl() {{ printf '%s\\n' \"$@\"; }}\n{}", setup.curl());
        let output = match Command::new("sh").args(["-c", &script]).output() {
            Ok(output) => String::from_utf8(output.stdout).expect("UTF-8"),
            Err(error) => panic!("no shell: {error}"),
        };
        let arguments: Vec<&str> = output.lines().collect();
        let [_, url, _, header, _, body] = arguments[..] else {
            panic!("{arguments:?}");
        };
        assert_eq!(url, "http://127.0.0.1:8080/hooks/chatmefy");
        serde_json::from_str::<serde_json::Value>(body).expect("JSON");
        let secret = setup.secrets[4].as_bytes();
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("any length");
        mac.update(body.as_bytes());
        let signature = hex::encode(mac.finalize().into_bytes());
        assert_eq!(header, format!("X-Chatmefy-Signature: sha256={signature}"));
    }
}
