// Package pkpass builds, signs and checks Apple Wallet packages (.pkpass). It knows nothing of tickets, databases or
// HTTP.
//
// A package is a zip of pass.json, images and translations, a manifest with the SHA-1 of each of them, and a detached
// CMS signature over the manifest. Here it is a pure function of its files, the certificate and the signing time: equal
// arguments give equal bytes on every machine, so that an entity tag may stand for them.
package pkpass
