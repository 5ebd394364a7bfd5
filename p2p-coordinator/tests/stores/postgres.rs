//! What only a server does: several coordinators on one database, and a server that goes away.
