//! A small disk for one test: a file system in memory, mounted by one process in its own namespace; others reach it
//! through that process.

use super::programs::missing;
use super::server::as_server_user_command;
use anyhow::{Context, Result, ensure};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

/// Owned by the user that Postgres servers run as. Dropping it unmounts it.
pub(crate) struct Disk {
    keeper: Child,
}

impl Disk {
    /// Mounts an empty disk of so many megabytes.
    ///
    /// # Errors
    /// `unshare` is missing, or this machine forbids mounting in a user namespace.
    pub(crate) fn new(megabytes: u32) -> Result<Self> {
        let mount =
            format!("mount -t tmpfs -o size={megabytes}m,mode=700 none /mnt && echo mounted && exec sleep infinity");
        let unshare = Path::new("/usr/bin/unshare");
        ensure!(unshare.exists(), missing("unshare (util-linux)"));
        let mut keep = as_server_user_command(unshare);
        let mut keeper =
            keep.args(["--map-root-user", "--mount", "sh", "-c", &mount]).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(keeper.stdout.take().context("no stdout")?).read_line(&mut line)?;
        ensure!(
            line == "mounted\n",
            "this machine forbids `unshare --map-root-user --mount`, so no small disk can be mounted"
        );
        Ok(Self { keeper })
    }

    /// Its path for processes of the servers' user.
    pub(crate) fn folder(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root/mnt", self.keeper.id()))
    }

    /// Fills it.
    pub(crate) fn fill(&self) -> Result<()> {
        // dd fails when the disk is full, which is the aim.
        self.sh("dd if=/dev/zero of=\"$1\" bs=4096; [ -s \"$1\" ]")
    }

    /// Frees the space again.
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
        // If the process has ended already, the disk is gone.
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}
