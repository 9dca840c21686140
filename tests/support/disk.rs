//! A small disk of a test's own: a file system in memory that one process mounts for itself, and that others reach through it.

use super::server::as_server_user_command;
use anyhow::{Context, Result, ensure};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

/// Belongs to the user that servers of Postgres run as; dropped, it is gone.
pub(crate) struct Disk {
    keeper: Child,
}

impl Disk {
    /// An empty one of so many megabytes.
    ///
    /// # Errors
    /// Where this user may not mount anything, not even for itself.
    pub(crate) fn new(megabytes: u32) -> Result<Self> {
        let mount =
            format!("mount -t tmpfs -o size={megabytes}m,mode=700 none /mnt && echo mounted && exec sleep infinity");
        let mut keep = as_server_user_command(Path::new("/usr/bin/unshare"));
        let mut keeper =
            keep.args(["--map-root-user", "--mount", "sh", "-c", &mount]).stdout(Stdio::piped()).spawn()?;
        let mut said = String::new();
        BufReader::new(keeper.stdout.take().context("its output")?).read_line(&mut said)?;
        ensure!(said == "mounted\n", "no file system can be mounted here: unshare --map-root-user --mount fails");
        Ok(Self { keeper })
    }

    /// Where the user of servers finds it.
    pub(crate) fn folder(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root/mnt", self.keeper.id()))
    }

    /// Leaves no room on it.
    pub(crate) fn fill(&self) -> Result<()> {
        // It ends when there is no more room, which is what it is for.
        self.sh("dd if=/dev/zero of=\"$1\" bs=4096; [ -s \"$1\" ]")
    }

    /// Gives the room back.
    pub(crate) fn clear(&self) -> Result<()> {
        self.sh("rm \"$1\"")
    }

    fn sh(&self, script: &str) -> Result<()> {
        let mut sh = as_server_user_command(Path::new("/bin/sh"));
        ensure!(sh.args(["-c", script, "sh"]).arg(self.folder().join("full")).status()?.success(), "{script}");
        Ok(())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // If it has gone already, so has the disk.
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}
