package postgres_test

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
)

// xzStored wraps data in the .xz format without compressing it: one stream, one
// block, LZMA2 chunks that are stored. Source: "The .xz File Format", 1.2.1.
func xzStored(data []byte) []byte {
	const (
		chunkMax       = 1 << 16
		uncompressed   = 1 // LZMA2 chunk, dictionary reset
		continued      = 2 // the same without the reset
		filterLZMA2    = 0x21
		dictionary4KiB = 0
	)
	var out bytes.Buffer
	flags := []byte{0, 0} // no integrity check of the data
	out.Write([]byte{0xFD, '7', 'z', 'X', 'Z', 0})
	out.Write(flags)
	out.Write(crc(flags))

	header := []byte{2, 0, filterLZMA2, 1, dictionary4KiB, 0, 0, 0} // 12 bytes with its CRC
	out.Write(header)
	out.Write(crc(header))
	begin := out.Len()
	for rest, control := data, byte(uncompressed); len(rest) > 0; control = continued {
		chunk := rest[:min(chunkMax, len(rest))]
		rest = rest[len(chunk):]
		out.WriteByte(control)
		out.Write(binary.BigEndian.AppendUint16(nil, uint16(len(chunk)-1)))
		out.Write(chunk)
	}
	out.WriteByte(0)
	unpadded := len(header) + 4 + out.Len() - begin
	pad(&out)

	index := []byte{0, 1}
	index = binary.AppendUvarint(index, uint64(unpadded))
	index = binary.AppendUvarint(index, uint64(len(data)))
	for len(index)%4 != 0 {
		index = append(index, 0)
	}
	out.Write(index)
	out.Write(crc(index))

	footer := binary.LittleEndian.AppendUint32(nil, uint32((len(index)+4)/4-1))
	footer = append(footer, flags...)
	out.Write(crc(footer))
	out.Write(footer)
	out.Write([]byte{'Y', 'Z'})
	return out.Bytes()
}

func crc(data []byte) []byte {
	return binary.LittleEndian.AppendUint32(nil, crc32.ChecksumIEEE(data))
}

func pad(out *bytes.Buffer) {
	for out.Len()%4 != 0 {
		out.WriteByte(0)
	}
}
