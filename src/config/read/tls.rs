//! `tls` of a listener: its certificates and keys are read and held against each other here, so that `check` finds all
//! that is wrong with them, and a renewal that fails keeps what it has.

use super::secrets::read_bounded;
use crate::clock;
use crate::config::{
    reader::{Map, Node, every},
    tls::{Certificate, Clients, Tls, Unfit, Version, chain, key},
};
use rustls::RootCertStore;
use std::path::Path;
use std::sync::Arc;
use zeroize::Zeroizing;

/// Certificates of one listener.
const CERTIFICATES_MAX: usize = 1_000;

const ACCEPTED: &str = "a list of { cert: FILE, key: FILE }";

/// Nothing can be read; it was said why.
struct Said;

/// Reads `tls`.
pub(super) fn read(node: &Node<'_>) -> Option<Tls> {
    let map = node.map(&[
        "certificates",
        "client_ca",
        "client_certificate",
        "min_version",
    ])?;
    let versions = [("1.2", Version::Tls12), ("1.3", Version::Tls13)];
    let min_version = map.choose_or("min_version", &versions, Version::Tls12);
    let clients = clients(&map);
    let certificates = certificates(&map);
    Some(Tls {
        certificates: certificates?,
        clients: clients.ok()?,
        min_version,
    })
}

fn certificates(map: &Map<'_>) -> Option<Vec<Certificate>> {
    let why = format!("nothing to prove the server with; accepted: {ACCEPTED}");
    let given = map.need("certificates", &why)?;
    let nodes = given.list(ACCEPTED)?;
    if nodes.is_empty() || nodes.len() > CERTIFICATES_MAX {
        given.problem(format!(
            "{} certificates; accepted: 1 to {CERTIFICATES_MAX}",
            nodes.len()
        ));
        return None;
    }
    let read = nodes
        .iter()
        .enumerate()
        .map(|(index, node)| certificate(node, index == 0).ok());
    // One whose file may be missing (`check --allow-unset`) is left out.
    Some(every(read)?.into_iter().flatten().collect())
}

/// One certificate with its key; None where a file may be missing, and is.
fn certificate(node: &Node<'_>, is_default: bool) -> Result<Option<Certificate>, Said> {
    let map = node.map(&["cert", "key"]).ok_or(Said)?;
    let part = |name: &str| map.need(name, &format!("there is no {name}; accepted: {ACCEPTED}"));
    let (cert_node, key_node) = (part("cert"), part("key"));
    let (cert_node, key_node) = (cert_node.ok_or(Said)?, key_node.ok_or(Said)?);
    let (cert_file, key_file) = (File::read(&cert_node), File::read(&key_node));
    let (cert_file, key_file) = (cert_file?, key_file?);
    let chain = cert_file.parse(&cert_node, chain);
    let key = key_file.parse(&key_node, key);
    let (Some(chain), Some(key)) = (chain?, key?) else {
        return Ok(None);
    };
    match Certificate::new(&cert_file.path, chain, &key) {
        Ok(certificate) => {
            warn(&cert_node, &certificate, is_default);
            Ok(Some(certificate))
        }
        Err(Unfit::Certificate(why)) => {
            cert_node.problem(format!("the file {} {why}", cert_file.shown));
            Err(Said)
        }
        Err(Unfit::Key(why)) => {
            key_node.problem(format!("the file {} {why}", key_file.shown));
            Err(Said)
        }
    }
}

/// What can be served, and will be refused by whoever looks at it.
fn warn(node: &Node<'_>, certificate: &Certificate, is_default: bool) {
    let now = clock::wall_ms() / 1_000;
    let warning = |message: String| node.context().report.warning(node.path(), message);
    if certificate.not_after < now {
        warning("this certificate has expired: no sender will believe it".to_owned());
    } else if certificate.not_before > now {
        warning("this certificate is not valid yet: no sender will believe it".to_owned());
    }
    if certificate.names.is_empty() && !is_default {
        warning("this certificate has no DNS name, so nobody is ever shown it".to_owned());
    }
}

/// Whose certificates clients may show; None: nobody is asked.
fn clients(map: &Map<'_>) -> Result<Option<Clients>, Said> {
    let words = [("required", true), ("optional", false)];
    let required = map.get("client_certificate");
    let Some(node) = map.get_some("client_ca") else {
        if let Some(required) = required {
            required.problem_at_key(
                "there is no client_ca to prove clients with; give one, or leave this out",
            );
            return Err(Said);
        }
        return Ok(None);
    };
    let required = map.choose_or("client_certificate", &words, true);
    let file = File::read(&node)?;
    let Some(certificates) = file.parse(&node, chain)? else {
        return Ok(None);
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        if let Err(error) = roots.add(certificate) {
            node.problem(format!(
                "the file {} holds a certificate that can't be an authority's: {error}",
                file.shown
            ));
            return Err(Said);
        }
    }
    Ok(Some(Clients {
        roots: Arc::new(roots),
        required,
    }))
}

/// A file and what it holds.
struct File {
    path: String,
    shown: String,
    /// None where it may be missing, and is.
    contents: Option<Zeroizing<Vec<u8>>>,
}

impl File {
    fn read(node: &Node<'_>) -> Result<Self, Said> {
        let path = node.text("the path of a PEM file", true).ok_or(Said)?;
        node.context().report.reads(Path::new(&path.value));
        let contents = match read_bounded(&path.value) {
            Ok(contents) => Some(contents),
            Err(_) if node.context().allow_unset => None,
            Err(error) => {
                node.problem(format!("the file {} can't be read: {error}", path.shown));
                return Err(Said);
            }
        };
        Ok(Self {
            path: path.value,
            shown: path.shown,
            contents,
        })
    }

    /// What it holds; None where it may be missing, and is.
    fn parse<T>(
        &self,
        node: &Node<'_>,
        parse: fn(&[u8]) -> Result<T, String>,
    ) -> Result<Option<T>, Said> {
        let Some(contents) = &self.contents else {
            return Ok(None);
        };
        match parse(contents) {
            Ok(parsed) => Ok(Some(parsed)),
            Err(why) => {
                node.problem(format!("the file {} {why}", self.shown));
                Err(Said)
            }
        }
    }
}
