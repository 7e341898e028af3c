using System;
using System.Collections.Generic;
using System.Globalization;
using System.Text;
using Lowbit.Tokenizers.Patterns;

namespace Lowbit.Tokenizers;

/// <summary>Turns one piece of normalized text into ids.</summary>
internal abstract class SubwordModel(Vocabulary vocabulary)
{
    /// <summary>The mark that stands for a blank in SentencePiece vocabularies.</summary>
    public const string BlankMark = "\u2581";

    /// <summary>The tokens.</summary>
    public Vocabulary Vocabulary { get; } = vocabulary;

    /// <summary>Appends the ids of the piece.</summary>
    /// <param name="piece">UTF-8.</param>
    /// <param name="dropUnknown">Leaves out characters that the vocabulary lacks; otherwise they become the unknown token, if there is one.</param>
    /// <param name="ids">Where to append.</param>
    /// <param name="meter">Counts the steps.</param>
    public abstract void Encode(ReadOnlySpan<byte> piece, bool dropUnknown, List<int> ids, WorkMeter meter);

    /// <summary>The ids of the 256 tokens <c>&lt;0x00&gt;</c> to <c>&lt;0xFF&gt;</c>; -1 where there is none.</summary>
    protected int[] FindByteTokens()
    {
        int[] ids = new int[256];
        for (int value = 0; value < 256; value++) ids[value] = Vocabulary.Find(Encoding.ASCII.GetBytes(ByteTokenName(value)));
        return ids;
    }

    /// <summary>The name of the token of a single byte.</summary>
    public static string ByteTokenName(int value) => string.Create(CultureInfo.InvariantCulture, $"<0x{value:X2}>");

    /// <summary>Bytes of the UTF-8 character that begins with this byte.</summary>
    protected static int CharacterLength(byte first) => first switch { < 0xC0 => 1, < 0xE0 => 2, < 0xF0 => 3, _ => 4 };
}
