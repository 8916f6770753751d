//! Short writes in one piece. hyper writes a head and its body as two: the kernel takes longer over the list of them than
//! it takes to copy so little.

use std::io::IoSlice;

/// Bytes up to which pieces are put together.
const BYTES_MAX: usize = 4 * 1024;

/// Where they are.
#[derive(Debug, Default)]
pub(super) struct Gathered(Vec<u8>);

impl Gathered {
    /// All of `pieces` as one, if they are short.
    pub(super) fn of(&mut self, pieces: &[IoSlice<'_>]) -> Option<&[u8]> {
        let length: usize = pieces.iter().map(|piece| piece.len()).sum();
        if length > BYTES_MAX {
            return None;
        }
        self.0.clear();
        for piece in pieces {
            self.0.extend_from_slice(piece);
        }
        Some(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_pieces_become_one_and_long_ones_stay() {
        let mut gathered = Gathered::default();
        let (head, body) = ([1; 100], [2; BYTES_MAX - 100]);
        let pieces = [IoSlice::new(&head), IoSlice::new(&body)];
        let whole = gathered.of(&pieces).expect("short");
        assert_eq!(whole, [&head[..], &body[..]].concat());
        let pieces = [IoSlice::new(&head), IoSlice::new(&body), IoSlice::new(&[3])];
        assert_eq!(gathered.of(&pieces), None);
        assert_eq!(gathered.of(&[IoSlice::new(&[3])]), Some(&[3][..]));
    }
}
