//! The Node that is installed, asked what `JSON.stringify(JSON.parse(text))` is.

use std::io::{BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// Reads documents, each behind its length (32 bits, big-endian), and writes for each a letter, a length and a text:
/// `t` for the result, `s` for a syntax error, `d` for what exhausts Node's stack.
const SCRIPT: &str = r#"
let pending = Buffer.alloc(0);
function answer(bytes) {
  try {
    return ["t", JSON.stringify(JSON.parse(bytes.toString("utf8")))];
  } catch (error) {
    if (error instanceof SyntaxError) return ["s", error.message];
    if (error instanceof RangeError) return ["d", error.message];
    throw error;
  }
}
process.stdin.on("data", (chunk) => {
  pending = Buffer.concat([pending, chunk]);
  const answers = [];
  let at = 0;
  while (pending.length >= at + 4 && pending.length >= at + 4 + pending.readUInt32BE(at)) {
    const end = at + 4 + pending.readUInt32BE(at);
    const [kind, text] = answer(pending.subarray(at + 4, end));
    const length = Buffer.alloc(4);
    length.writeUInt32BE(Buffer.byteLength(text));
    answers.push(Buffer.from(kind), length, Buffer.from(text));
    at = end;
  }
  pending = pending.subarray(at);
  process.stdout.write(Buffer.concat(answers));
});
"#;

/// What Node says about a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Text(Vec<u8>),
    Syntax(String),
    TooDeep,
}

/// A running Node. Dropped, it ends.
pub(super) struct Node {
    process: Child,
    documents: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Node {
    pub(super) fn start() -> Self {
        let mut process = Command::new("node")
            .args(["-e", SCRIPT])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node starts");
        Self {
            documents: process.stdin.take().expect("piped"),
            answers: BufReader::new(process.stdout.take().expect("piped")),
            process,
        }
    }

    /// An answer for each document, in order.
    pub(super) fn ask(&mut self, documents: &[Vec<u8>]) -> Vec<Answer> {
        let (input, output) = (&mut self.documents, &mut self.answers);
        // Node stops reading while its answers are not read, so both must go on at once.
        std::thread::scope(|scope| {
            scope.spawn(move || write_all(input, documents));
            documents.iter().map(|_| read_one(output)).collect()
        })
    }
}

fn write_all(input: &mut ChildStdin, documents: &[Vec<u8>]) {
    let mut bytes = Vec::new();
    for document in documents {
        let length = u32::try_from(document.len()).expect("documents are small");
        bytes.extend(length.to_be_bytes());
        bytes.extend(document);
    }
    input.write_all(&bytes).expect("node reads");
}

fn read_one(output: &mut impl Read) -> Answer {
    let mut head = [0; 5];
    output.read_exact(&mut head).expect("node answers");
    let [kind, length @ ..] = head;
    let mut text = vec![0; u32::from_be_bytes(length) as usize];
    output.read_exact(&mut text).expect("node answers in full");
    match kind {
        b't' => Answer::Text(text),
        b's' => Answer::Syntax(String::from_utf8(text).expect("Node writes UTF-8")),
        b'd' => Answer::TooDeep,
        _ => panic!("node answers with {head:x?}"),
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It has nothing to lose; an error means that it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
