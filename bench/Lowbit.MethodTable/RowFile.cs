using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Lowbit.MethodTable;

/// <summary>Rows as JSON lines, one a setting, written anew at every change; there are few.</summary>
/// <param name="path">The file, which need not exist.</param>
internal sealed class RowFile(string path)
{
    private static readonly JsonSerializerOptions s_readable = new() { Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private readonly List<JsonObject> _rows = File.Exists(path) ? [.. File.ReadLines(path).Select(line => JsonNode.Parse(line)!.AsObject())] : [];

    /// <summary>What the file is called.</summary>
    public string Name { get; } = Path.GetFileNameWithoutExtension(path);

    /// <summary>The row of a setting, or null.</summary>
    public JsonObject? Find(string name) => _rows.Find(row => (string?)row["name"] == name);

    /// <summary>Adds a row or puts it in the place of its like.</summary>
    public void Set(JsonObject row)
    {
        int place = _rows.FindIndex(other => (string?)other["name"] == (string?)row["name"]);
        if (place < 0) _rows.Add(row);
        else _rows[place] = row;
        File.WriteAllLines(path, _rows.Select(line => line.ToJsonString(s_readable)));
    }
}
