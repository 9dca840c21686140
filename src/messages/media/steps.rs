//! A reader that ends a parser which reads in circles (R5): parsers of media follow offsets that a file names, and a file
//! can name the same ones for ever.

use std::io::{Error, Read, Result, Seek, SeekFrom};

/// Most steps of a parser. A file of a quarter of an hour needs some thousands, and a million take about a second.
const MOST: u32 = 4_000_000;

/// Reads and seeks until so many steps are used up; then each fails.
pub(super) struct Steps<R> {
    inner: R,
    left: u32,
}

impl<R> Steps<R> {
    pub(super) const fn of(inner: R) -> Self {
        Self { inner, left: MOST }
    }

    fn step(&mut self) -> Result<&mut R> {
        self.left = self.left.checked_sub(1).ok_or_else(|| Error::other("the file leads its parser in circles"))?;
        Ok(&mut self.inner)
    }
}

impl<R: Read> Read for Steps<R> {
    fn read(&mut self, into: &mut [u8]) -> Result<usize> {
        self.step()?.read(into)
    }
}

impl<R: Seek> Seek for Steps<R> {
    fn seek(&mut self, to: SeekFrom) -> Result<u64> {
        self.step()?.seek(to)
    }

    fn stream_position(&mut self) -> Result<u64> {
        self.step()?.stream_position()
    }
}
