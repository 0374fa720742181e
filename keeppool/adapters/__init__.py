"""Other people's interfaces over keeppool's pool; each module needs the package it is named after."""
