//! Plots; to come.
