#![recursion_limit = "512"]
//! wagres
