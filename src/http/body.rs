//! Reading a request's body: within its limit, its deadline and the budget of bytes in flight.
//!
//! Nothing is read, and no 100 Continue asked for, before the budget has room for what was declared.

use crate::budget::{Budget, Charge};
use bytes::{Bytes, BytesMut};
use http_body::Body;
use http_body_util::{BodyExt, LengthLimitError};
use std::error::Error;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

/// Bytes up to which a body that came in one piece is copied. Such a piece is a part of the connection's read
/// buffer (8 KiB and more), all of which it would keep for as long as the event waits; copying this much costs
/// less than allocating another buffer.
const COPIED_BYTES: usize = 4 * 1024;

/// What a body may take.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    /// Bytes.
    pub bytes: u64,
    /// From now to its last byte.
    pub timeout: Duration,
}

/// Why a body was not read. After any of these the connection has to be closed: the answer should carry
/// `Connection: close`, and hyper closes in any case, since the body was not read to its end.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// More than the limit, by its Content-Length or by its bytes.
    #[error("body is over the limit of {limit} bytes")]
    TooLarge {
        /// Bytes.
        limit: u64,
    },
    /// Not whole at the deadline.
    #[error("body was not whole after {0:?}")]
    Timeout(Duration),
    /// No room in the budget.
    #[error("no room for the body among those in flight")]
    Overloaded,
    /// Malformed chunks, or the connection ended within the body.
    #[error("body is malformed or cut off")]
    Malformed,
}

/// Reads `body` to its end. The charge is held for its bytes (a declared length is charged at once) and for
/// `overhead` bytes more, until dropped.
pub async fn read<B>(
    body: B,
    limits: BodyLimits,
    budget: &Budget,
    overhead: u64,
) -> Result<(Bytes, Charge), BodyError>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let declared = body.size_hint().lower();
    if declared > limits.bytes {
        return Err(BodyError::TooLarge {
            limit: limits.bytes,
        });
    }
    let charge = budget
        .take(declared.saturating_add(overhead))
        .ok_or(BodyError::Overloaded)?;
    let mut gathered = pin!(gather(body, limits.bytes, declared, charge));
    // The timer is armed only if the body is not there yet.
    if let Some(gathered) = at_once(gathered.as_mut()).await {
        return gathered;
    }
    tokio::time::timeout(limits.timeout, gathered)
        .await
        .unwrap_or(Err(BodyError::Timeout(limits.timeout)))
}

/// What `future` comes to without waiting for anybody else. hyper hands a body over only after it was asked for, in the
/// next step of the same task: so it is asked twice.
async fn at_once<F: Future>(mut future: Pin<&mut F>) -> Option<F::Output> {
    let mut asked = false;
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if asked => Poll::Ready(None),
        Poll::Pending => {
            asked = true;
            cx.waker().wake_by_ref();
            Poll::Pending
        }
    })
    .await
}

/// Reads to the end, growing `charge` by what goes beyond `charged` bytes.
async fn gather<B>(
    mut body: B,
    limit: u64,
    charged: u64,
    mut charge: Charge,
) -> Result<(Bytes, Charge), BodyError>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let mut charged = charged;
    let mut gathered = Gathered::Nothing;
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| classify(error.into().as_ref(), limit))?;
        // Trailers say nothing that is signed or forwarded.
        let Ok(data) = frame.into_data() else {
            continue;
        };
        length += data.len() as u64;
        if length > limit {
            return Err(BodyError::TooLarge { limit });
        }
        if length > charged {
            if !charge.grow(length - charged) {
                return Err(BodyError::Overloaded);
            }
            charged = length;
        }
        gathered.push(data, charged);
        if body.is_end_stream() {
            break;
        }
    }
    Ok((gathered.finish(), charge))
}

/// A body as far as it has come; most come in one piece, which is not copied into a buffer first.
enum Gathered {
    Nothing,
    One(Bytes),
    Many(BytesMut),
}

impl Gathered {
    /// Adds `data`; `expected` is how long the whole will be at least, in bytes.
    fn push(&mut self, data: Bytes, expected: u64) {
        if data.is_empty() {
            return;
        }
        match self {
            Self::Nothing => *self = Self::One(data),
            Self::One(first) => {
                let expected = usize::try_from(expected).unwrap_or(0);
                let mut all = BytesMut::with_capacity(expected.max(first.len() + data.len()));
                all.extend_from_slice(first);
                all.extend_from_slice(&data);
                *self = Self::Many(all);
            }
            Self::Many(all) => all.extend_from_slice(&data),
        }
    }

    fn finish(self) -> Bytes {
        match self {
            Self::Nothing => Bytes::new(),
            Self::One(only) if only.len() <= COPIED_BYTES => Bytes::copy_from_slice(&only),
            Self::One(only) => only,
            Self::Many(all) => all.freeze(),
        }
    }
}

/// A limit around the body (tower-http's `RequestBodyLimit`) reports by an error in the chain.
fn classify(error: &(dyn Error + 'static), limit: u64) -> BodyError {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<LengthLimitError>() {
            return BodyError::TooLarge { limit };
        }
        cause = error.source();
    }
    BodyError::Malformed
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body::{Frame, SizeHint};
    use http_body_util::{Full, Limited};
    use std::collections::VecDeque;
    use std::task::Context;

    const LIMITS: BodyLimits = BodyLimits {
        bytes: 10_000,
        timeout: Duration::from_secs(15),
    };

    /// Pieces of unknown total length; what comes after the last is said by `end`.
    struct Pieces {
        pieces: VecDeque<&'static [u8]>,
        end: End,
    }

    enum End {
        Whole,
        Broken,
        Never,
    }

    impl Body for Pieces {
        type Data = Bytes;
        type Error = std::io::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
            match (self.pieces.pop_front(), &self.end) {
                (Some(piece), _) => Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(piece))))),
                (None, End::Whole) => Poll::Ready(None),
                (None, End::Broken) => {
                    Poll::Ready(Some(Err(std::io::ErrorKind::UnexpectedEof.into())))
                }
                (None, End::Never) => Poll::Pending,
            }
        }

        fn size_hint(&self) -> SizeHint {
            SizeHint::default()
        }
    }

    fn pieces(pieces: &[&'static [u8]], end: End) -> Pieces {
        Pieces {
            pieces: pieces.iter().copied().collect(),
            end,
        }
    }

    #[tokio::test]
    async fn pieces_are_joined_and_charged() {
        let budget = Budget::new(1_000);
        for (body, expected) in [
            (pieces(&[], End::Whole), &b""[..]),
            (pieces(&[b"one"], End::Whole), b"one"),
            (pieces(&[b"one", b"", b"two"], End::Whole), b"onetwo"),
            (pieces(&[b"a", b"b", b"c", b"d"], End::Whole), b"abcd"),
        ] {
            let (bytes, charge) = read(body, LIMITS, &budget, 100).await.expect("a body");
            assert_eq!(bytes, expected);
            assert_eq!(charge.bytes(), 100 + expected.len() as u64);
            assert_eq!(budget.used(), charge.bytes());
        }
        assert_eq!(budget.used(), 0);
    }

    #[tokio::test]
    async fn a_large_piece_is_kept_and_a_small_one_is_copied_out_of_its_buffer() {
        let budget = Budget::new(100_000);
        for (length, copied) in [(COPIED_BYTES, true), (COPIED_BYTES + 1, false)] {
            let sent = Bytes::from(vec![7; length]);
            let (got, _charge) = read(Full::new(sent.clone()), LIMITS, &budget, 0)
                .await
                .expect("a body");
            assert_eq!(got, sent);
            assert_eq!(got.as_ptr() != sent.as_ptr(), copied, "{length}");
        }
    }

    #[tokio::test]
    async fn the_limit_holds_for_declared_sent_and_wrapped_bodies() {
        let budget = Budget::new(100_000);
        let limits = BodyLimits { bytes: 5, ..LIMITS };
        let declared = read(Full::new(Bytes::from_static(b"123456")), limits, &budget, 0).await;
        assert!(matches!(declared, Err(BodyError::TooLarge { limit: 5 })));
        let sent = read(pieces(&[b"123", b"456"], End::Never), limits, &budget, 0).await;
        assert!(matches!(sent, Err(BodyError::TooLarge { limit: 5 })));
        let wrapped = Limited::new(pieces(&[b"123", b"456"], End::Never), 5);
        let wrapped = read(wrapped, LIMITS, &budget, 0).await;
        assert!(matches!(wrapped, Err(BodyError::TooLarge { .. })));
        let exact = read(pieces(&[b"123", b"45"], End::Whole), limits, &budget, 0).await;
        assert!(exact.is_ok());
        drop(exact);
        assert_eq!(budget.used(), 0);
    }

    #[tokio::test]
    async fn no_room_is_told_before_and_while_reading() {
        let budget = Budget::new(10);
        let other = budget.take(5).expect("room");
        let declared = read(Full::new(Bytes::from_static(b"123456")), LIMITS, &budget, 0).await;
        assert!(matches!(declared, Err(BodyError::Overloaded)));
        let growing = read(pieces(&[b"123", b"456"], End::Never), LIMITS, &budget, 0).await;
        assert!(matches!(growing, Err(BodyError::Overloaded)));
        assert_eq!(budget.used(), other.bytes());
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stops_times_out_and_a_broken_one_is_malformed() {
        let budget = Budget::new(100);
        let began = tokio::time::Instant::now();
        let stopped = read(pieces(&[b"123"], End::Never), LIMITS, &budget, 0).await;
        assert!(matches!(stopped, Err(BodyError::Timeout(_))));
        assert!(began.elapsed() >= LIMITS.timeout);
        let broken = read(pieces(&[b"123"], End::Broken), LIMITS, &budget, 0).await;
        assert!(matches!(broken, Err(BodyError::Malformed)));
        assert_eq!(budget.used(), 0);
    }
}
