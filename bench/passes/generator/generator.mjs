// Makes passes with passkit-generator from the images and the content of one of ours, as its README says to: the images are
// read once, everything else is set anew for each pass.
//
//	node generator.mjs DIR SECONDS
//
// DIR holds the files of an unpacked pass of ours, key.pem, certificate.pem and wwdr.pem. It writes one pass to
// DIR/theirs.pkpass and prints passes per second of a core and bytes of a pass, as one line of JSON.
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PKPass } from "passkit-generator";

const [dir, seconds] = [process.argv[2], Number(process.argv[3])];
const read = (name) => readFileSync(join(dir, name));

const images = Object.fromEntries(
	readdirSync(dir).filter((name) => name.endsWith(".png")).map((name) => [name, read(name)]),
);
const certificates = { wwdr: read("wwdr.pem"), signerCert: read("certificate.pem"), signerKey: read("key.pem") };
const ours = JSON.parse(read("pass.json"));
const { eventTicket, barcode, barcodes, ...rest } = ours;
rest.authenticationToken = "1." + "A".repeat(43); // as long as ours
const entry = /^"((?:[^"\\]|\\.)*)" = "((?:[^"\\]|\\.)*)";$/gm;
const languages = readdirSync(dir).filter((name) => name.endsWith(".lproj")).map((name) => [
	name.replace(".lproj", ""),
	Object.fromEntries([...read(join(name, "pass.strings")).toString().matchAll(entry)].map((m) => [m[1], m[2]])),
]);

function make(number) {
	const pass = new PKPass({ ...images, "pass.json": Buffer.from(JSON.stringify({ ...rest, eventTicket: {} })) }, certificates, {
		serialNumber: "A".repeat(15) + String(number).padStart(6, "0"),
	});
	for (const group of ["headerFields", "primaryFields", "secondaryFields", "auxiliaryFields", "backFields"]) {
		pass[group].push(...eventTicket[group]);
	}
	pass.setBarcodes(...barcodes);
	for (const [language, table] of languages) pass.localize(language, table);
	return pass.getAsBuffer();
}

const sample = make(0);
writeFileSync(join(dir, "theirs.pkpass"), sample);
// The first ones warm the compiler up.
const warm = performance.now() + 1000;
for (let i = 0; performance.now() < warm; i++) make(i);
const began = performance.now();
const used = process.cpuUsage();
let made = 0;
while (performance.now() - began < seconds * 1000) make(made++);
const { user, system } = process.cpuUsage(used); // microseconds
console.log(JSON.stringify({ passes_per_second: made / ((user + system) / 1e6), bytes: sample.length }));
